// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    outDir: process.env.SOTTO_WEB_OUT ?? "dist",
    emptyOutDir: true,
    target: "es2022",
    // The page's Content-Security-Policy has no place for data: scripts or styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700, // libsodium's WebAssembly is within its script
  },
  server: {
    proxy: {
      "/v1": { target: process.env.SOTTO_SERVER ?? "https://localhost:8443", ws: true, secure: false },
    },
  },
  test: { include: ["test/**/*.test.ts"], environment: "node", setupFiles: ["test/setup.ts"] },
});
