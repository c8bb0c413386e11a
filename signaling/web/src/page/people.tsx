// SPDX-License-Identifier: Apache-2.0
import { useId, useState } from "preact/hooks";
import { type Client, type Contact, kAccountPattern } from "../lib";
import { Avatar } from "./avatar";
import { Icon } from "./icons";
import { calls } from "./text";

interface PeopleProps {
  client: Client;
  onCall: (account: string, video: boolean) => void;
  onInvite: (to: string) => void;
  onRemove: (contact: Contact) => void;
}

export function People({ client, onCall, onInvite, onRemove }: PeopleProps) {
  const heading = useId();
  return (
    <section class="panel people" aria-labelledby={heading}>
      <header class="panel-head">
        <h2 id={heading}>People</h2>
        <button type="button" class="primary" onClick={() => onInvite("")}><Icon name="plus" />Invite</button>
      </header>
      {client.contacts.length === 0 ? (
        <div class="empty">
          <p>Nobody here yet.</p>
          <p class="hint">Invite someone, or open the link they gave you. Whoever has your invitation can make this device ring.</p>
        </div>
      ) : (
        <ul class="list">
          {client.contacts.map((contact) => (
            <Person key={contact.account} client={client} contact={contact} onCall={onCall} onRemove={onRemove} />
          ))}
        </ul>
      )}
      <CallByName onCall={onCall} />
    </section>
  );
}

function Person({ client, contact, onCall, onRemove }: { client: Client; contact: Contact } & Pick<PeopleProps, "onCall" | "onRemove">) {
  const { account } = contact;
  const left = client.callsLeft(contact);
  const blocked = client.blocked.includes(account);
  return (
    <li class="item">
      <Avatar name={account} />
      <div class="item-text">
        <strong>{account}</strong>
        <span class="hint">
          {blocked ? "Blocked. " : ""}
          {contact.verified ? "Verified by invitation" : "Keys from the server"}
          {" · "}
          {left ? `${calls(left)} left` : <span class="warn">no calls left: ask for an invitation</span>}
        </span>
      </div>
      <div class="item-actions">
        <button type="button" class="round" aria-label={`Call ${account}`} title="Call" onClick={() => onCall(account, false)}><Icon name="phone" /></button>
        <button type="button" class="round" aria-label={`Video call ${account}`} title="Video call" onClick={() => onCall(account, true)}><Icon name="video" /></button>
        <button type="button" class="round quiet" aria-label={`Remove or block ${account}`} title="Remove or block" onClick={() => onRemove(contact)}><Icon name="more" /></button>
      </div>
    </li>
  );
}

function CallByName({ onCall }: Pick<PeopleProps, "onCall">) {
  const [name, setName] = useState("");
  const ids = { field: useId(), hint: useId() };
  const valid = kAccountPattern.test(name);
  const call = (video: boolean) => {
    onCall(name, video);
    setName("");
  };
  return (
    <form
      class="call-by-name"
      onSubmit={(event) => {
        event.preventDefault();
        if (valid) call(false);
      }}
    >
      <label for={ids.field}>Call somebody else</label>
      <div class="row">
        <input
          id={ids.field} value={name} placeholder="name" autocomplete="off" autocapitalize="none"
          spellcheck={false} maxLength={64} aria-describedby={ids.hint}
          onInput={(event) => setName(event.currentTarget.value.trim())}
        />
        <button type="submit" disabled={!valid}><Icon name="phone" />Call</button>
      </div>
      <p class="hint" id={ids.hint}>Without an invitation it may not ring there. You won't be told.</p>
    </form>
  );
}
