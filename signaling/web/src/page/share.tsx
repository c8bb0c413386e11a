// SPDX-License-Identifier: Apache-2.0
import { useId, useState } from "preact/hooks";
import { Qr } from "./qr";

// A link as QR code and as text to copy or share.
export function ShareLink({ link, label }: { link: string; label: string }) {
  const [said, say] = useState("");
  const field = useId();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(link);
      say("Copied.");
    } catch {
      document.querySelector<HTMLInputElement>(`[id="${field}"]`)?.select();
      say("Selected. Copy it with your keyboard.");
    }
  };
  return (
    <div class="share">
      <Qr text={link} label={`${label} as a QR code`} />
      <label for={field}>{label}</label>
      <div class="row">
        <input id={field} readOnly value={link} onFocus={(event) => event.currentTarget.select()} />
        <button type="button" onClick={copy}>Copy</button>
        {"share" in navigator && (
          <button type="button" onClick={() => navigator.share({ url: link }).catch(() => {})}>Share</button>
        )}
      </div>
      <p class="hint" role="status">{said}</p>
    </div>
  );
}
