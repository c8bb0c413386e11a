// SPDX-License-Identifier: Apache-2.0
import { useId } from "preact/hooks";
import { type Client, type PastCall, PastCall_Kind } from "../lib";
import { Icon, type IconName } from "./icons";
import { pastCall, when } from "./text";

interface PastCallsProps {
  client: Client;
  onCall: (account: string, video: boolean) => void;
  onAllow: (account: string) => void;
  onBlock: (account: string) => void;
}

const kIcons: Partial<Record<PastCall_Kind, IconName>> = {
  [PastCall_Kind.OUTGOING]: "arrowOut", [PastCall_Kind.UNANSWERED]: "arrowOut",
  [PastCall_Kind.INCOMING]: "arrowIn", [PastCall_Kind.DECLINED]: "arrowIn",
  [PastCall_Kind.MISSED]: "missed", [PastCall_Kind.SILENCED]: "moon", [PastCall_Kind.MORE]: "moon",
  [PastCall_Kind.UNVERIFIED]: "warning",
};

export function PastCalls(props: PastCallsProps) {
  const heading = useId();
  const { client } = props;
  return (
    <section class="panel past-calls" aria-labelledby={heading}>
      <header class="panel-head">
        <h2 id={heading}>Calls</h2>
        {client.history.length > 0 && (
          <button type="button" class="quiet" onClick={() => client.forgetHistory()}>Clear</button>
        )}
      </header>
      {client.history.length === 0 ? (
        <div class="empty">
          <p>No calls.</p>
          <p class="hint">Missed and silenced calls show up here. Nothing rings for them later.</p>
        </div>
      ) : (
        <ol class="list">{client.history.map((past) => <Past key={past.id} past={past} {...props} />)}</ol>
      )}
    </section>
  );
}

function Past({ past, client, onCall, onAllow, onBlock }: { past: PastCall } & PastCallsProps) {
  const { title, detail } = pastCall(past);
  const silenced = past.kind === PastCall_Kind.SILENCED;
  const loud = past.kind === PastCall_Kind.MISSED || past.kind === PastCall_Kind.UNVERIFIED;
  const blocked = client.blocked.includes(past.peer);
  return (
    <li class={`item ${silenced ? "item-silenced" : ""}`}>
      <span class={`kind ${loud ? "kind-loud" : ""}`}><Icon name={kIcons[past.kind] ?? "phone"} /></span>
      <div class="item-text">
        <strong>{title}</strong>
        <span class="hint">
          {detail} · <time dateTime={new Date(Number(past.atS) * 1000).toISOString()}>{when(Number(past.atS))}</time>
        </span>
      </div>
      <div class="item-actions">
        {silenced && blocked && <span class="hint">Blocked</span>}
        {silenced && !blocked && (
          <>
            <button type="button" class="small" aria-label={`Allow ${past.peer}`} onClick={() => onAllow(past.peer)}>Allow</button>
            <button type="button" class="small quiet" aria-label={`Block ${past.peer}`} onClick={() => onBlock(past.peer)}>Block</button>
          </>
        )}
        {!silenced && past.peer && (
          <button type="button" class="round" aria-label={`Call ${past.peer}`} title="Call" onClick={() => onCall(past.peer, false)}><Icon name="phone" /></button>
        )}
      </div>
    </li>
  );
}
