// SPDX-License-Identifier: Apache-2.0
import { useId, useState } from "preact/hooks";
import { kAccountPattern, type LocalState } from "../lib";
import { Mark } from "./icons";

interface SignInProps {
  linked: LocalState | null;
  invitedBy: string | null;
  // Throws what there is to say.
  onName: (account: string) => Promise<void>;
  onIdentity: (jwt: string) => Promise<void>;
}

export function SignIn({ linked, invitedBy, onName, onIdentity }: SignInProps) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const ids = { name: useId(), jwt: useId(), error: useId() };
  const submit = (run: (text: string) => Promise<void>, name: string) => async (event: SubmitEvent) => {
    event.preventDefault();
    const text = String(new FormData(event.currentTarget as HTMLFormElement).get(name)).trim();
    setError("");
    setBusy(true);
    try {
      if (name === "account" && !kAccountPattern.test(text)) {
        throw new Error("A name has letters, digits and . _ ~ @ + -");
      }
      await run(text);
    } catch (failure) {
      setError((failure as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="sign-in">
      <div class="brand"><Mark /><h1>Sotto</h1></div>
      <p class="lead">Calls in a low voice. Only people you trust can make it ring.</p>
      {linked && <p class="note">This adds the device to <strong>{linked.account}</strong>.</p>}
      {invitedBy && <p class="note">You have an invitation from <strong>{invitedBy}</strong>. Sign in to use it.</p>}
      <form onSubmit={submit(onName, "account")}>
        <label for={ids.name}>Your name</label>
        <input
          id={ids.name} name="account" required maxLength={64} autocomplete="username"
          autocapitalize="none" spellcheck={false} autofocus value={linked?.account}
          aria-describedby={ids.error}
        />
        <button type="submit" class="primary" disabled={busy}>Continue</button>
      </form>
      <p id={ids.error} class="error" role="alert">{error}</p>
      <details>
        <summary>I have an identity from my operator</summary>
        <form onSubmit={submit(onIdentity, "jwt")}>
          <label for={ids.jwt}>Identity (JWT)</label>
          <textarea id={ids.jwt} name="jwt" rows={4} required spellcheck={false} autocomplete="off" />
          <button type="submit" disabled={busy}>Sign in</button>
        </form>
      </details>
    </main>
  );
}
