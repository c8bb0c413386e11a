// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/front/web_root.h"

#include <fmt/format.h>
#include <sodium.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace sotto::signaling {
namespace {

namespace fs = std::filesystem;

constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".wasm", "application/wasm"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".webp", "image/webp"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".mp3", "audio/mpeg"},
    {".ogg", "audio/ogg"},
    {".opus", "audio/ogg"},
    {".wav", "audio/wav"},
    {".txt", "text/plain; charset=utf-8"},
};

std::string_view TypeOf(std::string_view path) {
  for (const auto& [suffix, type] : kTypes) {
    if (path.ends_with(suffix)) return type;
  }
  return "application/octet-stream";
}

std::string EtagOf(const std::string& content) {
  std::array<unsigned char, 16> hash;
  crypto_generichash(hash.data(), hash.size(),
                     reinterpret_cast<const unsigned char*>(content.data()), content.size(),
                     nullptr, 0);
  std::array<char, 2 * hash.size() + 1> hex;
  sodium_bin2hex(hex.data(), hex.size(), hash.data(), hash.size());
  return fmt::format("\"{}\"", hex.data());
}

absl::Status Bad(std::string_view folder, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("[server] web_root: {} {}", folder, what));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const WebRoot>> WebRoot::Load(const std::string& folder) {
  if (sodium_init() < 0) std::abort();
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error);
  if (error) {
    return Bad(folder, fmt::format("can't be read ({}); build the web client, or remove this key.",
                                   error.message()));
  }
  auto root = std::make_shared<WebRoot>();
  size_t bytes = 0;
  for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (error) break;
    const std::string name = it->path().filename().string();
    const fs::file_status status = it->symlink_status(error);
    if (name.starts_with('.')) {
      if (fs::is_directory(status)) it.disable_recursion_pending();
      continue;
    }
    if (!fs::is_regular_file(status)) continue;
    const std::string path = "/" + fs::relative(it->path(), folder, error).generic_string();
    std::ifstream in(it->path(), std::ios::binary);
    WebFile file;
    file.content.assign(std::istreambuf_iterator<char>(in), {});
    if (!in || error)
      return Bad(folder, fmt::format("contains a file {} that can't be read.", path));
    bytes += file.content.size();
    if (root->files_.size() == kMaxWebFiles || bytes > kMaxWebBytes) {
      return Bad(folder, fmt::format("contains more than {} files or {} MiB; is it the folder of "
                                     "the web client?",
                                     kMaxWebFiles, kMaxWebBytes >> 20));
    }
    file.type = TypeOf(path);
    file.etag = EtagOf(file.content);
    file.immutable = path.starts_with("/assets/");  // Vite puts hashes into names there
    root->files_.emplace(path, std::move(file));
  }
  if (error) return Bad(folder, fmt::format("can't be read ({}).", error.message()));
  if (root->Find("/") == nullptr) {
    return Bad(folder,
               "contains no index.html; name the folder that the web client was built into.");
  }
  return std::shared_ptr<const WebRoot>(std::move(root));
}

const WebFile* WebRoot::Find(std::string_view target) const {
  const std::string_view path = target.substr(0, target.find('?'));
  const auto it = files_.find(path == "/" ? "/index.html" : path);
  return it == files_.end() ? nullptr : &it->second;
}

}  // namespace sotto::signaling
