// SPDX-License-Identifier: Apache-2.0
import { useId, useState } from "preact/hooks";
import { type Client, type Contact, type Invitation } from "../lib";
import { Avatar } from "./avatar";
import { Dialog } from "./dialog";
import { ShareLink } from "./share";
import { calls } from "./text";

export function InviteDialog({ client, to, onClose }: { client: Client; to: string; onClose: () => void }) {
  const [link, setLink] = useState("");
  const note = useId();
  const create = (event: SubmitEvent) => {
    event.preventDefault();
    setLink(client.createInvitation(String(new FormData(event.currentTarget as HTMLFormElement).get("to")).trim()));
  };
  return (
    <Dialog title={to ? `Let ${to} ring` : "Invite someone"} onClose={onClose}>
      {link ? (
        <>
          <p>Give this to one person. It lets them call you a few times; every call you answer renews it.</p>
          <ShareLink link={link} label="Invitation link" />
        </>
      ) : (
        <form onSubmit={create}>
          <p>An invitation is a link. Whoever opens it can make this account ring, even when unknown callers are silenced.</p>
          <label for={note}>Who is it for? <span class="hint">Only you see this.</span></label>
          <input id={note} name="to" defaultValue={to} maxLength={64} autocomplete="off" autofocus />
          <div class="actions"><button type="submit" class="primary">Make the invitation</button></div>
        </form>
      )}
    </Dialog>
  );
}

interface AcceptProps {
  client: Client;
  invitation: Invitation;
  onDone: (said: string) => void;
  onClose: () => void;
}

export function AcceptInvitationDialog({ client, invitation, onDone, onClose }: AcceptProps) {
  const [error, setError] = useState("");
  const { account } = invitation;
  const known = client.contact(account);
  const other = known && !known.sign.every((byte, i) => byte === invitation.sign[i]);
  const accept = () => {
    try {
      const contact = client.acceptInvitation(invitation);
      onDone(`${account} is in your contacts. ${calls(client.callsLeft(contact))} left.`);
    } catch (failure) {
      setError((failure as Error).message);
    }
  };
  return (
    <Dialog title={known ? `More calls to ${account}` : `Add ${account}?`} onClose={onClose}>
      <div class="who"><Avatar name={account} large /><strong>{account}</strong></div>
      <p>With this invitation you can call {account}, and be sure that it's the person who gave you the link.</p>
      {other && <p class="note warn">The keys in this link aren't the ones you know. Continue only if {account} told you that they started over.</p>}
      <p class="error" role="alert">{error}</p>
      <div class="actions">
        <button type="button" onClick={onClose}>Not now</button>
        <button type="button" class="primary" autofocus onClick={accept}>{known ? "Take them" : "Add"}</button>
      </div>
    </Dialog>
  );
}

interface RemoveProps {
  client: Client;
  contact: Contact;
  act: (done: string, run: () => Promise<void>) => void;
  onClose: () => void;
}

export function RemoveDialog({ client, contact: { account }, act, onClose }: RemoveProps) {
  const blocked = client.blocked.includes(account);
  const choose = (done: string, run: () => Promise<void>) => {
    act(done, run);
    onClose();
  };
  return (
    <Dialog title={account} onClose={onClose}>
      <p>Removing {account} takes back the calls that you gave during your calls together. Blocking also keeps {account} from ringing with any other invitation of yours. Neither is told to {account}.</p>
      <div class="actions">
        <button type="button" onClick={() => choose(`${account} is removed.`, () => client.removeContact(account))}>Remove</button>
        {blocked ? (
          <button type="button" onClick={() => choose(`${account} is no longer blocked.`, () => client.unblock(account))}>Unblock</button>
        ) : (
          <button type="button" class="danger" onClick={() => choose(`${account} is blocked.`, () => client.block(account))}>Block</button>
        )}
      </div>
    </Dialog>
  );
}
