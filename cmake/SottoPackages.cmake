# SPDX-License-Identifier: Apache-2.0
# What is installed where, and the Debian packages made of it (`cpack` in a build tree, or
# deploy/packages.sh): sotto-relayd, sotto-signald, sotto-tools.
#
# Everything goes under the prefix. Nothing goes to /etc: there is no configuration that works
# unseen, so operators copy one of the examples, and systemd-tmpfiles makes the folders.
if(NOT SOTTO_WEB_DIR)
  message(STATUS "No packages: sotto-signald's has the web client, which npm builds")
  return()
endif()
include(GNUInstallDirs)

set(SOTTO_PACKAGE_MAINTAINER "Sotto maintainers <maintainers@sotto.example>" CACHE STRING
    "Who answers for the packages, as NAME <ADDRESS>")

set(packaging ${PROJECT_SOURCE_DIR}/deploy/packages)
set(made ${PROJECT_BINARY_DIR}/packages)
# Packaging is no build: what isn't built yet is an error, and tests may run it beside each other.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

find_program(SOTTO_GZIP gzip REQUIRED)
function(sotto_compressed source name)  # without time stamps, so that packages are reproducible
  execute_process(COMMAND ${SOTTO_GZIP} -9nc ${source} OUTPUT_FILE ${made}/${name}.gz
                  COMMAND_ERROR_IS_FATAL ANY)
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
endfunction()

# sotto_package(COMPONENT BINARIES target ... MAN page ...): programs, and what each package has.
function(sotto_package component)
  cmake_parse_arguments(ARG "" "" "BINARIES;MAN" ${ARGN})
  set(doc ${CMAKE_INSTALL_DATADIR}/doc/sotto-${component})
  install(TARGETS ${ARG_BINARIES} DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${component})
  install(FILES ${packaging}/copyright DESTINATION ${doc} COMPONENT ${component})
  install(FILES ${made}/changelog.Debian.gz ${made}/changelog.gz DESTINATION ${doc}
          COMPONENT ${component})
  foreach(page ${ARG_MAN})
    get_filename_component(section ${page} LAST_EXT)
    string(SUBSTRING ${section} 1 -1 section)
    sotto_compressed(${packaging}/${page} ${page})
    install(FILES ${made}/${page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section}
            COMPONENT ${component})
  endforeach()
endfunction()

# sotto_daemon(NAME USER user STATE folder): a unit, its user, its folders, and the scripts that
# dpkg runs.
function(sotto_daemon name)
  cmake_parse_arguments(ARG "" "USER;STATE" "" ${ARGN})
  set(DAEMON sotto-${name})
  set(NAME ${name})
  set(DAEMON_USER ${ARG_USER})
  set(STATE ${ARG_STATE})
  foreach(script postinst prerm postrm)
    configure_file(${packaging}/${script}.in ${made}/${name}/${script} @ONLY
                   FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
                                    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  endforeach()
  foreach(kind sysusers tmpfiles)
    configure_file(${packaging}/${kind}.conf.in ${made}/${name}/${kind}.conf @ONLY)
    install(FILES ${made}/${name}/${kind}.conf DESTINATION lib/${kind}.d RENAME ${DAEMON}.conf
            COMPONENT ${name})
  endforeach()
  install(FILES ${PROJECT_SOURCE_DIR}/deploy/${DAEMON}.service DESTINATION lib/systemd/system
          COMPONENT ${name})
  string(TOUPPER ${name} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA
      "${made}/${name}/postinst;${made}/${name}/prerm;${made}/${name}/postrm" PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_PREDEPENDS "init-system-helpers (>= 1.54~)" PARENT_SCOPE)
endfunction()

file(MAKE_DIRECTORY ${made})
sotto_compressed(${packaging}/changelog changelog.Debian)
sotto_compressed(${PROJECT_SOURCE_DIR}/CHANGELOG.md changelog)

sotto_package(relayd BINARIES sotto-relayd MAN sotto-relayd.8 sotto-host-prepare.8)
sotto_daemon(relayd USER sotto STATE sotto)
install(PROGRAMS ${PROJECT_SOURCE_DIR}/deploy/host-prepare.sh DESTINATION ${CMAKE_INSTALL_SBINDIR}
        RENAME sotto-host-prepare COMPONENT relayd)
install(FILES ${PROJECT_SOURCE_DIR}/docs/operations.md ${PROJECT_SOURCE_DIR}/docs/configuration.md
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/sotto-relayd COMPONENT relayd)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/examples
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/sotto-relayd COMPONENT relayd
        PATTERN "signald*.toml" EXCLUDE)

sotto_package(signald BINARIES sotto-signald MAN sotto-signald.8)
sotto_daemon(signald USER sotto-signald STATE sotto-signald)
install(FILES ${PROJECT_SOURCE_DIR}/docs/signald-configuration.md
        ${PROJECT_SOURCE_DIR}/docs/protocol.md
        ${PROJECT_SOURCE_DIR}/docs/privacy.md
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/sotto-signald COMPONENT signald)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/examples
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/sotto-signald COMPONENT signald
        FILES_MATCHING PATTERN "signald*.toml")
install(DIRECTORY ${SOTTO_WEB_DIR}/ DESTINATION ${CMAKE_INSTALL_DATADIR}/sotto/web
        COMPONENT signald)

sotto_package(tools BINARIES sottoctl sotto-loadgen sotto-phone MAN sotto-loadgen.1 sotto-phone.1)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/prometheus
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/sotto-tools COMPONENT tools
        PATTERN "*.test.yml" EXCLUDE)
set(generated ${PROJECT_BINARY_DIR}/tools/sottoctl)
install(CODE
        "execute_process(COMMAND ${SOTTO_GZIP} -9nkf ${generated}/sottoctl.1 COMMAND_ERROR_IS_FATAL ANY)"
        COMPONENT tools)
install(FILES ${generated}/sottoctl.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools)
install(FILES ${generated}/sottoctl.bash
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME sottoctl COMPONENT tools)
install(FILES ${generated}/_sottoctl DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions
        COMPONENT tools)

set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL relayd signald tools)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGE_DIRECTORY ${made})
# Each package has a summary of its own.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_PACKAGE_CONTACT ${SOTTO_PACKAGE_MAINTAINER})
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS ${CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
# A package for one machine's CPU must not be taken for one that runs anywhere.
if(SOTTO_CPU STREQUAL "native")
  set(CPACK_DEBIAN_PACKAGE_VERSION ${PROJECT_VERSION}+native)
endif()
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# DPDK opens its drivers by name when it starts, so no linker knows of them: those that work on any
# machine must be there, those for hardware should be.
# Packages carry the number of DPDK's ABI, which is that of its libraries' sonames.
find_library(SOTTO_DPDK_EAL rte_eal HINTS ${DPDK_LIBRARY_DIRS} ${DPDK_LIBDIR} REQUIRED)
file(REAL_PATH ${SOTTO_DPDK_EAL} eal)
if(NOT eal MATCHES "\\.so\\.([0-9]+)")
  message(FATAL_ERROR "${eal} has no soname that names DPDK's ABI; is it DPDK's shared library?")
endif()
set(abi ${CMAKE_MATCH_1})
foreach(driver bus-pci bus-vdev mempool-ring net-af-packet net-af-xdp net-tap)
  list(APPEND drivers librte-${driver}${abi})
endforeach()
foreach(driver bus-auxiliary bus-vmbus net-bnxt net-e1000- net-ena net-gve net-i40e net-iavf net-ice
        net-igc
               net-ixgbe net-memif net-mlx5- net-netvsc net-null net-pcap net-virtio net-vmxnet3-)
  list(APPEND hardware librte-${driver}${abi})
endforeach()
list(JOIN drivers ", " drivers)
list(JOIN hardware ", " hardware)
set(makers "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")

set(CPACK_DEBIAN_RELAYD_PACKAGE_NAME sotto-relayd)
set(CPACK_DEBIAN_RELAYD_PACKAGE_SECTION net)
set(CPACK_DEBIAN_RELAYD_PACKAGE_DEPENDS "${drivers}, ${makers}")
set(CPACK_DEBIAN_RELAYD_PACKAGE_RECOMMENDS
    "ethtool, ibverbs-providers, iproute2, kmod, sotto-tools, ${hardware}")
set(CPACK_DEBIAN_RELAYD_PACKAGE_SUGGESTS "prometheus, sotto-signald")
set(CPACK_COMPONENT_RELAYD_DESCRIPTION "media relay (TURN) in userspace, on DPDK
All media of a call goes through it, encrypted from end to end, so that
neither party learns the other's address. Worker threads poll the NIC and
forward without a system call; AF_XDP, AF_PACKET and TAP ports need no
special NIC and no hugepages.")

set(CPACK_DEBIAN_SIGNALD_PACKAGE_NAME sotto-signald)
set(CPACK_DEBIAN_SIGNALD_PACKAGE_SECTION net)
set(CPACK_DEBIAN_SIGNALD_PACKAGE_DEPENDS "${makers}")
set(CPACK_DEBIAN_SIGNALD_PACKAGE_RECOMMENDS "sotto-tools")
set(CPACK_DEBIAN_SIGNALD_PACKAGE_SUGGESTS "sotto-relayd")
set(CPACK_COMPONENT_SIGNALD_DESCRIPTION "signaling server that silences unknown callers
It decides whether a call rings from a privacy token that the recipient
gave out, and learns nothing about who knows whom. Comes with a web client
that it serves itself.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME sotto-tools)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION net)
set(CPACK_DEBIAN_TOOLS_PACKAGE_RECOMMENDS
    librte-bus-vdev${abi} librte-mempool-ring${abi} librte-net-af-packet${abi}
    librte-net-memif${abi})
list(JOIN CPACK_DEBIAN_TOOLS_PACKAGE_RECOMMENDS ", " CPACK_DEBIAN_TOOLS_PACKAGE_RECOMMENDS)
set(CPACK_COMPONENT_TOOLS_DESCRIPTION "command-line tools for sotto-relayd and sotto-signald
sottoctl shows what the daemons do and changes it, sotto-loadgen loads
them with calls and packets, sotto-phone is a headless client.")

include(CPack)
