// SPDX-License-Identifier: Apache-2.0
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Client } from "../lib";
import { Dialog } from "./dialog";
import { ShareLink } from "./share";

interface SettingsProps {
  client: Client;
  act: (done: string, run: () => Promise<void>) => void;
  onSignOut: () => void;
  onClose: () => void;
}

export function SettingsDialog({ client, act, onSignOut, onClose }: SettingsProps) {
  const { silenceUnknownCallers, protectIpAddress } = client.settings;
  const blockedHeading = useId();
  return (
    <Dialog title="Settings" onClose={onClose} kind="wide">
      <Switch
        label="Silence unknown callers" on={silenceUnknownCallers}
        about="Only people with your invitation make this account ring; to others it looks unanswered, and you find them in your calls."
        onChange={(on) => act(on ? "Unknown callers are silenced." : "Everybody can ring again.",
          () => client.setSettings({ silenceUnknownCallers: on }))}
      />
      <Switch
        label="Protect IP address in calls" on={protectIpAddress}
        about="All media goes through the relay, so the people you talk to never learn where you are on the network."
        onChange={(on) => act(on ? "Your address is protected." : "Calls may go the direct way.",
          () => client.setSettings({ protectIpAddress: on }))}
      />
      <section class="group" aria-labelledby={blockedHeading}>
        <h3 id={blockedHeading}>Blocked</h3>
        {client.blocked.length === 0 ? <p class="hint">Nobody.</p> : (
          <ul class="list plain">
            {client.blocked.map((name) => (
              <li class="item" key={name}>
                <div class="item-text"><strong>{name}</strong></div>
                <button type="button" class="small" aria-label={`Unblock ${name}`}
                  onClick={() => act(`${name} is no longer blocked.`, () => client.unblock(name))}>Unblock</button>
              </li>
            ))}
          </ul>
        )}
      </section>
      <Confirmed
        title="Invitations" about="Takes back every invitation you gave, to anyone. Your contacts need new ones. Other devices of yours have to be added again."
        action="Revoke all invitations" danger
        run={() => act("All invitations are revoked.", () => client.revokeAll())}
      />
      <AnotherDevice client={client} />
      <Confirmed
        title={`Signed in as ${client.account}`}
        about="Signing out removes the account's keys, contacts and calls from this device. Without another device of yours they are gone."
        action="Sign out" danger run={onSignOut}
      />
    </Dialog>
  );
}

function Switch({ label, about, on, onChange }: { label: string; about: string; on: boolean; onChange: (on: boolean) => void }) {
  const ids = { field: useId(), about: useId() };
  return (
    <div class="group switch">
      <div>
        <label for={ids.field}>{label}</label>
        <p class="hint" id={ids.about}>{about}</p>
      </div>
      <input
        id={ids.field} type="checkbox" role="switch" checked={on} aria-describedby={ids.about}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
    </div>
  );
}

interface ConfirmedProps {
  title: string;
  about: string;
  action: string;
  danger?: boolean;
  run: () => void;
}

// What can't be undone is asked for twice.
function Confirmed({ title, about, action, danger, run }: ConfirmedProps) {
  const [asked, setAsked] = useState(false);
  const heading = useId();
  return (
    <section class="group" aria-labelledby={heading}>
      <h3 id={heading}>{title}</h3>
      <p class="hint">{about}</p>
      {asked ? (
        <div class="actions start">
          <button type="button" autofocus class={danger ? "danger" : ""} onClick={() => { setAsked(false); run(); }}>
            Yes, {action.toLowerCase()}
          </button>
          <button type="button" onClick={() => setAsked(false)}>Cancel</button>
        </div>
      ) : (
        <button type="button" onClick={() => setAsked(true)}>{action}</button>
      )}
    </section>
  );
}

function AnotherDevice({ client }: { client: Client }) {
  const [shown, setShown] = useState(false);
  const heading = useId();
  const section = useRef<HTMLElement>(null);
  useEffect(() => {
    if (shown) section.current?.scrollIntoView({ block: "start" });
  }, [shown]);
  return (
    <section class="group" aria-labelledby={heading} ref={section}>
      <h3 id={heading}>Another device</h3>
      {shown ? (
        <>
          <p class="note warn">Whoever has this code is you, to everybody you know. Show it to nobody, and send it to nobody.</p>
          <ShareLink link={client.deviceLink()} label="Secret link for your other device" />
          <button type="button" onClick={() => setShown(false)}>Hide</button>
        </>
      ) : (
        <>
          <p class="hint">Scan a code with your other device to use this account there. Contacts stay on the device where you added them.</p>
          <button type="button" onClick={() => setShown(true)}>Show the code</button>
        </>
      )}
    </section>
  );
}
