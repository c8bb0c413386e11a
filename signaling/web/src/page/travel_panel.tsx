// SPDX-License-Identifier: Apache-2.0
import { useId } from "preact/hooks";
import type { TravelReport } from "../lib";
import { Icon } from "./icons";
import { bytes } from "./text";

interface TravelProps {
  peer: string;
  report: TravelReport | null;
  protectedCall: boolean;
}

// What the browser's own statistics say of the way that a call takes.
export function TravelPanel({ peer, report, protectedCall }: TravelProps) {
  const heading = useId();
  const { local, remote } = report ?? {};
  const relayed = report?.relayed ?? false;
  return (
    <section class="travel" aria-labelledby={heading}>
      <h2 id={heading}>How this call travels</h2>
      {!report || !local || !remote ? <p class="hint">Looking for a way…</p> : (
        <>
          <ol class={`route ${relayed ? "" : "route-direct"}`}>
            <li>You</li>
            {relayed && <li class="route-relay"><span>Relay</span><code>{local.address}</code></li>}
            <li>{peer}</li>
          </ol>
          <p class={`verdict ${protectedCall ? "verdict-good" : ""}`} role="status">
            <Icon name={protectedCall ? "shield" : "warning"} />
            {protectedCall
              ? `Protected: only the relay sees your address, and ${peer} sees only the relay's.`
              : `Not protected: you and ${peer} may see each other's address.`}
          </p>
          <dl class="facts">
            <div><dt>Your end</dt><dd>{local.kind} <code>{endpoint(local)}</code></dd></div>
            <div><dt>Their end</dt><dd>{remote.kind} <code>{endpoint(remote)}</code></dd></div>
            <div><dt>Sent</dt><dd>{bytes(report.bytesSent)}, {report.packetsSent.toLocaleString()} packets</dd></div>
            <div><dt>Received</dt><dd>{bytes(report.bytesReceived)}, {report.packetsReceived.toLocaleString()} packets</dd></div>
            <div><dt>Lost</dt><dd>{report.packetsLost.toLocaleString()} packets</dd></div>
            {report.roundTripMs !== null && <div><dt>Round trip</dt><dd>{Math.round(report.roundTripMs)} ms</dd></div>}
          </dl>
        </>
      )}
    </section>
  );
}

const endpoint = ({ address, port }: { address: string; port: number }): string =>
  address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
