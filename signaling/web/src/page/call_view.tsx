// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef, useState } from "preact/hooks";
import type { Call, TravelReport } from "../lib";
import { Avatar } from "./avatar";
import { useChange, useEvery, useTitle } from "./hooks";
import { Icon } from "./icons";
import { duration } from "./text";
import { TravelPanel } from "./travel_panel";

const kMinVideoFrames = 3; // in a second: fewer, and the camera is as good as off

export function CallView({ call, onError }: { call: Call; onError: (text: string) => void }) {
  useChange(call as never);
  const [report, setReport] = useState<TravelReport | null>(null);
  const [remoteVideo, setRemoteVideo] = useState(false);
  const last = useRef(0);
  const heading = useRef<HTMLHeadingElement>(null);
  const { leg, peer, state } = call;
  useTitle(`${state === "connected" ? "On a call with" : "Calling"} ${peer}`);
  useEffect(() => heading.current?.focus(), []);
  useEvery(1000, () => {
    if (!leg || call.connectedAtS === null || state === "ended") return;
    leg.travel().then((next) => {
      setRemoteVideo(next.videoFrames - last.current >= kMinVideoFrames);
      last.current = next.videoFrames;
      setReport(next);
    }).catch(() => {});
  });
  const toggleCamera = () =>
    leg?.setCamera(!leg.camera).catch((error: Error) => onError(`The camera can't be used: ${error.message}`));
  const says = { calling: "Calling…", ringing: "", connecting: "Connecting…", connected: "", ended: "Ended" }[state];
  return (
    <main class="call">
      <section class="stage" aria-label="Call">
        <div class={`tile tile-remote ${remoteVideo ? "tile-video" : ""}`}>
          <Video stream={leg?.remote ?? null} label={`Video of ${peer}`} shown={remoteVideo} />
          {!remoteVideo && <Avatar name={peer} large />}
        </div>
        <header class="call-head">
          <h1 tabIndex={-1} ref={heading}>{peer}</h1>
          <p>
            <span role="status">{says}</span>
            {state === "connected" && <Duration call={call} />}
            {call.connectedAtS !== null && call.protectedAddress && (
              <span class="badge"><Icon name="shield" />Protected</span>
            )}
          </p>
        </header>
        {leg?.camera && (
          <div class="tile tile-local"><Video stream={leg.local} label="Your video" shown muted /></div>
        )}
        <div class="controls" role="toolbar" aria-label="Call controls">
          <Toggle on={leg?.microphone ?? true} label="Microphone" icons={["mic", "micOff"]} onClick={() => leg?.setMicrophone(!leg.microphone)} />
          <Toggle on={leg?.camera ?? false} label="Camera" icons={["video", "videoOff"]} onClick={toggleCamera} />
          <button type="button" class="round large hang-up" aria-label="Hang up" title="Hang up" onClick={() => void call.hangUp()}>
            <Icon name="hangUp" />
          </button>
        </div>
      </section>
      {call.connectedAtS !== null && <TravelPanel peer={peer} report={report} protectedCall={call.protectedAddress} />}
    </main>
  );
}

function Duration({ call }: { call: Call }) {
  const [seconds, setSeconds] = useState(call.seconds);
  useEvery(500, () => setSeconds(call.seconds));
  return <time role="timer" aria-live="off" aria-label="Duration">{duration(seconds)}</time>;
}

interface ToggleProps {
  on: boolean;
  label: string;
  icons: ["mic" | "video", "micOff" | "videoOff"];
  onClick: () => void;
}

function Toggle({ on, label, icons, onClick }: ToggleProps) {
  return (
    <button
      type="button" class={`round large ${on ? "" : "off"}`} aria-pressed={on} aria-label={label}
      title={`${label} is ${on ? "on" : "off"}`} onClick={onClick}
    >
      <Icon name={icons[on ? 0 : 1]} />
    </button>
  );
}

// Plays sound too, also while it isn't shown.
function Video({ stream, label, shown, muted }: { stream: MediaStream | null; label: string; shown: boolean; muted?: boolean }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const element = video.current!;
    if (element.srcObject !== stream) element.srcObject = stream;
    if (stream) element.play().catch(() => {});
  });
  return <video ref={video} class={shown ? "" : "unseen"} aria-label={label} aria-hidden={!shown} autoplay playsInline muted={muted} />;
}
