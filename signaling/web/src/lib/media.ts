// SPDX-License-Identifier: Apache-2.0
// Media of a call, over WebRTC.
//
// A connection is made when the call begins, with the policy "relay" and without a server, and has
// described itself before any candidate exists. As soon as the server has named the relay, the
// stack allocates there ahead (iceCandidatePoolSize), still under that policy. Only CallConnected
// says whether the call is protected, and only then is the description applied and gathering
// begins: under "relay", or in a call without protection under "all". So no candidate of another
// kind ever exists in a protected call, and no call needs an ICE restart.
import { type Media } from "../gen/call_body_pb";
import { cleanCandidate, type RelayedAddress, relayCandidate } from "./candidates";
import { Emitter } from "./emitter";
import { mediaFromSdp, sdpFromMedia } from "./media_fields";

export interface TurnServer {
  urls: string[];
  username: string;
  credential: string;
}

// How a call travels, as the stack reports it.
export interface TravelReport {
  relayed: boolean; // both ends of the selected pair are relay candidates
  local: TravelEnd | null;
  remote: TravelEnd | null;
  bytesSent: number;
  bytesReceived: number;
  packetsSent: number;
  packetsReceived: number;
  packetsLost: number; // of media, received
  roundTripMs: number | null;
  videoFrames: number; // received so far
}

export interface TravelEnd {
  kind: string; // RTCIceCandidateType
  address: string;
  port: number;
}

export type MediaEvents = {
  state: "connecting" | "connected" | "failed";
  candidates: { candidates: string[]; complete: boolean }; // in calls without protection alone
  streams: void; // `local` or `remote` changed
};

// One party's side of one call. `describe` or `answer` first, then `allocate`, then `connect`.
export interface MediaLeg {
  on<Name extends keyof MediaEvents>(name: Name, listener: (value: MediaEvents[Name]) => void): () => void;
  readonly local: MediaStream;
  readonly remote: MediaStream;
  readonly microphone: boolean;
  readonly camera: boolean;
  describe(): Promise<Media>;
  answer(offer: Media): Promise<Media>;
  // Takes what the microphone and camera give; throws if the microphone may not be used.
  capture(camera: boolean): Promise<void>;
  allocate(server: TurnServer): void;
  // `answer`: by the caller alone.
  connect(protect: boolean, answer?: Media): Promise<void>;
  addRelayed(addresses: RelayedAddress[]): void;
  addCandidates(candidates: string[]): void;
  setMicrophone(on: boolean): void;
  setCamera(on: boolean): Promise<void>;
  travel(): Promise<TravelReport>;
  close(): void;
}

const kCandidateDelayMs = 100; // candidates that come together go in one body
const kMaxRemoteCandidates = 64;
const kVideo: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" };

export class WebRtcLeg extends Emitter<MediaEvents> implements MediaLeg {
  readonly local = new MediaStream();
  readonly remote = new MediaStream();
  readonly #pc = new RTCPeerConnection({ iceTransportPolicy: "relay", bundlePolicy: "max-bundle" });
  #camera: MediaStreamTrack | null = null;
  #description: RTCSessionDescriptionInit | null = null;
  #server: RTCIceServer | null = null;
  #protect = true;
  #connected = false;
  #remoteCandidates: string[] = []; // until connect()
  #remoteCount = 0;
  #outgoing: string[] = [];
  #outgoingTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.#pc.ontrack = ({ track }) => {
      this.remote.addTrack(track);
      this.emit("streams", undefined);
    };
    this.#pc.onicecandidate = ({ candidate }) => this.#gathered(candidate);
    this.#pc.onconnectionstatechange = () => this.#stateChanged();
  }

  get microphone(): boolean {
    return this.local.getAudioTracks().some((track) => track.enabled);
  }
  get camera(): boolean {
    return this.#camera !== null;
  }

  async capture(camera: boolean): Promise<void> {
    const media = navigator.mediaDevices;
    if (!media) throw new Error("This browser gives pages no microphone without HTTPS.");
    let stream: MediaStream;
    try {
      stream = await media.getUserMedia({ audio: true, video: camera ? kVideo : false });
    } catch (error) {
      if (!camera) throw error;
      stream = await media.getUserMedia({ audio: true }); // a call without a camera is still a call
    }
    for (const track of stream.getTracks()) this.local.addTrack(track);
    this.#camera = stream.getVideoTracks()[0] ?? null;
    this.emit("streams", undefined);
  }

  async describe(): Promise<Media> {
    this.#addTransceivers();
    this.#description = await this.#pc.createOffer();
    return this.#describeSelf();
  }

  async answer(offer: Media): Promise<Media> {
    await this.#pc.setRemoteDescription({ type: "offer", sdp: sdpFromMedia(offer, "offer") });
    for (const transceiver of this.#pc.getTransceivers()) {
      transceiver.direction = "sendrecv";
      await transceiver.sender.replaceTrack(this.#trackOf(transceiver.receiver.track.kind));
    }
    this.#description = await this.#pc.createAnswer();
    return this.#describeSelf();
  }

  allocate(server: TurnServer): void {
    this.#server = { urls: server.urls, username: server.username, credential: server.credential };
    this.#configure();
  }

  async connect(protect: boolean, answer?: Media): Promise<void> {
    this.#protect = protect;
    this.#configure();
    await this.#pc.setLocalDescription(this.#description!);
    if (answer) {
      await this.#pc.setRemoteDescription({ type: "answer", sdp: sdpFromMedia(answer, "answer") });
    }
    this.#connected = true;
    for (const line of this.#remoteCandidates.splice(0)) this.#addRemote(line);
    this.emit("state", "connecting");
  }

  addRelayed(addresses: RelayedAddress[]): void {
    for (const address of addresses) {
      const line = relayCandidate(address);
      if (line) this.#addRemote(line);
    }
  }

  addCandidates(candidates: string[]): void {
    if (this.#protect) return;
    for (const line of candidates) {
      const clean = cleanCandidate(line);
      if (clean) this.#addRemote(clean);
    }
  }

  setMicrophone(on: boolean): void {
    for (const track of this.local.getAudioTracks()) track.enabled = on;
    this.emit("streams", undefined);
  }

  // Off, the camera isn't only dark: it is given back.
  async setCamera(on: boolean): Promise<void> {
    if (on === this.camera) return;
    const sender = this.#pc.getTransceivers().find((t) => t.receiver.track.kind === "video")?.sender;
    if (on) {
      const stream = await navigator.mediaDevices.getUserMedia({ video: kVideo });
      this.#camera = stream.getVideoTracks()[0]!;
      this.local.addTrack(this.#camera);
      await sender?.replaceTrack(this.#camera);
    } else {
      await sender?.replaceTrack(null);
      this.#camera!.stop();
      this.local.removeTrack(this.#camera!);
      this.#camera = null;
    }
    this.emit("streams", undefined);
  }

  async travel(): Promise<TravelReport> {
    const all = new Map<string, Record<string, unknown>>();
    (await this.#pc.getStats()).forEach((entry: Record<string, unknown>, id: string) => all.set(id, entry));
    return readTravel(all);
  }

  close(): void {
    clearTimeout(this.#outgoingTimer);
    for (const track of this.local.getTracks()) track.stop();
    this.#pc.onconnectionstatechange = null;
    this.#pc.close();
  }

  #addTransceivers(): void {
    for (const kind of ["audio", "video"] as const) {
      const transceiver = this.#pc.addTransceiver(this.#trackOf(kind) ?? kind, { direction: "sendrecv" });
      const known = RTCRtpReceiver.getCapabilities(kind)?.codecs;
      if (!known || !transceiver.setCodecPreferences) continue;
      const wanted = kind === "audio" ? /\/opus$/i : /\/(vp8|vp9|h264|rtx)$/i;
      const codecs = known.filter((codec) => wanted.test(codec.mimeType));
      if (codecs.length) transceiver.setCodecPreferences(codecs);
    }
  }

  #describeSelf(): Media {
    return mediaFromSdp(this.#description!.sdp!, { audio: true, video: this.camera });
  }

  #trackOf(kind: string): MediaStreamTrack | null {
    return this.local.getTracks().find((track) => track.kind === kind) ?? null;
  }

  #configure(): void {
    this.#pc.setConfiguration({
      bundlePolicy: "max-bundle",
      iceServers: this.#server ? [this.#server] : [],
      iceTransportPolicy: this.#protect ? "relay" : "all",
      iceCandidatePoolSize: 1,
    });
  }

  #addRemote(line: string): void {
    if (++this.#remoteCount > kMaxRemoteCandidates) return;
    if (!this.#connected) {
      this.#remoteCandidates.push(line);
      return;
    }
    // One that the stack doesn't take (another family, a name it can't resolve) is one less.
    this.#pc.addIceCandidate({ candidate: line, sdpMid: "0", sdpMLineIndex: 0 }).catch(() => {});
  }

  // In a protected call the server tells the other party where this leg is; nothing goes from here.
  #gathered(candidate: RTCIceCandidate | null): void {
    if (this.#protect) return;
    const line = candidate?.candidate ? cleanCandidate(candidate.candidate) : null;
    if (candidate?.candidate && !line) return;
    clearTimeout(this.#outgoingTimer);
    if (line && !this.#outgoing.includes(line)) this.#outgoing.push(line);
    if (candidate?.candidate) {
      this.#outgoingTimer = setTimeout(() => this.#flush(false), kCandidateDelayMs);
    } else if (!candidate) {
      this.#flush(true);
    }
  }

  #flush(complete: boolean): void {
    this.emit("candidates", { candidates: this.#outgoing.splice(0), complete });
  }

  #stateChanged(): void {
    const state = this.#pc.connectionState;
    if (state === "connected") this.emit("state", "connected");
    else if (state === "failed") this.emit("state", "failed");
    else if (state === "disconnected" || state === "connecting") this.emit("state", "connecting");
  }
}

// From the entries of an RTCStatsReport, by id.
export function readTravel(all: Map<string, Record<string, unknown>>): TravelReport {
  const number = (entry: Record<string, unknown> | undefined, name: string): number =>
    typeof entry?.[name] === "number" ? (entry[name] as number) : 0;
  const entries = [...all.values()];
  const transport = entries.find((entry) => entry.type === "transport");
  const pair = all.get(String(transport?.selectedCandidatePairId)) ??
    entries.find((entry) => entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded");
  const end = (id: unknown): TravelEnd | null => {
    const candidate = all.get(String(id));
    if (!candidate) return null;
    return {
      kind: String(candidate.candidateType), address: String(candidate.address ?? ""),
      port: number(candidate, "port"),
    };
  };
  const local = end(pair?.localCandidateId);
  const remote = end(pair?.remoteCandidateId);
  const inbound = entries.filter((entry) => entry.type === "inbound-rtp");
  const sum = (name: string): number => inbound.reduce((total, entry) => total + number(entry, name), 0);
  const roundTrip = pair?.currentRoundTripTime;
  return {
    relayed: local?.kind === "relay" && remote?.kind === "relay", local, remote,
    bytesSent: number(pair, "bytesSent"), bytesReceived: number(pair, "bytesReceived"),
    packetsSent: number(pair, "packetsSent"), packetsReceived: number(pair, "packetsReceived"),
    packetsLost: sum("packetsLost"), videoFrames: sum("framesReceived"),
    roundTripMs: typeof roundTrip === "number" ? roundTrip * 1000 : null,
  };
}
