// SPDX-License-Identifier: Apache-2.0
import { useEffect } from "preact/hooks";
import type { Call, CallerTrust } from "../lib";
import { Avatar } from "./avatar";
import { Dialog } from "./dialog";
import { useTitle } from "./hooks";
import { Icon } from "./icons";
import { ring } from "./ring";

interface IncomingProps {
  call: Call;
  onAnswer: (video: boolean) => void;
}

export function IncomingDialog({ call, onAnswer }: IncomingProps) {
  useTitle(`${call.peer} is calling`);
  useEffect(() => ring(), [call]);
  return (
    <Dialog title={`${call.peer} is calling`} kind="incoming">
      <div class="who"><Avatar name={call.peer} large /></div>
      <p class="hint">{call.video ? "Video call" : "Call"}</p>
      <p class={call.trust!.contact || call.trust!.withToken ? "trust" : "trust warn"}>{knownBy(call.trust!)}</p>
      <div class="answers">
        <button type="button" class="danger" onClick={() => void call.decline()}><Icon name="hangUp" />Decline</button>
        <button type="button" class="primary" autofocus={!call.video} onClick={() => onAnswer(false)}><Icon name="phone" />Answer</button>
        <button type="button" class="primary" autofocus={call.video} onClick={() => onAnswer(true)}><Icon name="video" />With video</button>
      </div>
    </Dialog>
  );
}

function knownBy({ contact, verified, withToken, tokenTo }: CallerTrust): string {
  if (contact) return verified ? "In your contacts, verified by invitation." : "In your contacts.";
  if (tokenTo) return `Has the invitation that you made for “${tokenTo}”.`;
  if (withToken) return "Has an invitation of yours.";
  return "You don't know this caller.";
}
