// SPDX-License-Identifier: Apache-2.0
import "./style/tokens.css";
import "./style/base.css";
import "./style/home.css";
import "./style/call.css";
import { render } from "preact";
import { readDeviceLink, readInvitation, ready } from "../lib";
import { openStorage, resume } from "./accounts";
import { App, type Opened } from "./app";

async function open(): Promise<Opened> {
  await ready;
  const storage = await openStorage();
  const opened: Opened = { storage, client: null, invitation: null, linked: null, error: "" };
  try {
    takeFragment(opened);
  } catch (error) {
    opened.error = (error as Error).message;
  }
  if (!opened.linked) opened.client = await resume(storage);
  return opened;
}

// The fragment's secrets don't stay in the address bar or the history.
function takeFragment(opened: Opened): void {
  const { hash } = location;
  if (!hash) return;
  history.replaceState(null, "", `${location.pathname}${location.search}`);
  if (hash.startsWith("#i=")) opened.invitation = readInvitation(hash);
  if (hash.startsWith("#d=")) opened.linked = readDeviceLink(hash);
}

// Also when a link is opened in a window that is open already.
addEventListener("hashchange", () => {
  if (/^#[id]=/.test(location.hash)) location.reload();
});

const root = document.getElementById("app")!;
const slow = setTimeout(() => {
  root.textContent = "Sotto is starting. If this stays, close its other windows and reload.";
}, 5000);
open().finally(() => {
  clearTimeout(slow);
  root.textContent = "";
}).then(
  (opened) => render(<App opened={opened} />, root),
  (error: Error) => {
    root.textContent = `Sotto can't start here: ${error.message}`;
  },
);
