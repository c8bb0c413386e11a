// SPDX-License-Identifier: Apache-2.0
// How numbers and times are said.
import { type CallEnd, type PastCall, PastCall_Kind } from "../lib";

export function duration(seconds: number): string {
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  if (count < 999_500) return `${(count / 1000).toFixed(count < 10_000 ? 1 : 0)} kB`;
  return `${(count / 1_000_000).toFixed(count < 10_000_000 ? 1 : 0)} MB`;
}

export function when(unixS: number, now = new Date()): string {
  const date = new Date(unixS * 1000);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === now.toDateString()) return time;
  const yesterday = new Date(now);
  yesterday.setDate(now.getDate() - 1);
  if (date.toDateString() === yesterday.toDateString()) return `Yesterday, ${time}`;
  return date.toLocaleDateString([], { day: "numeric", month: "short" });
}

export const times = (count: number): string =>
  count >= 65535 ? "very many times" : count === 1 ? "once" : `${count} times`;

export const calls = (count: number): string => (count === 1 ? "1 call" : `${count} calls`);

export function pastCall(past: PastCall): { title: string; detail: string } {
  const { kind, peer, count, seconds } = past;
  const many = count > 1 ? `, ${times(count)}` : "";
  switch (kind) {
    case PastCall_Kind.OUTGOING: return { title: peer, detail: `You called, ${duration(seconds)}` };
    case PastCall_Kind.UNANSWERED: return { title: peer, detail: "You called, no answer" };
    case PastCall_Kind.INCOMING: return { title: peer, detail: `Called you, ${duration(seconds)}` };
    case PastCall_Kind.DECLINED: return { title: peer, detail: "You declined" };
    case PastCall_Kind.MISSED: return { title: peer, detail: `Missed call${many}` };
    case PastCall_Kind.SILENCED: return { title: `Unknown caller ${peer}`, detail: `Silenced, ${times(count)}` };
    case PastCall_Kind.MORE: return { title: "More unknown callers", detail: `Silenced or missed, ${calls(count)}` };
    case PastCall_Kind.UNVERIFIED:
      return { title: peer, detail: "Not shown: the caller's keys aren't the ones you know" };
    default: return { title: peer, detail: "" };
  }
}

export function callEnd(end: CallEnd, text: string): string {
  const known: Partial<Record<CallEnd, string>> = {
    "no-answer": "No answer.", "hung-up": "Call ended.", "peer-hung-up": "Call ended.",
    "peer-lost": "The other side lost its connection.", "lost": "Your connection was lost.",
    "answered-elsewhere": "Answered on another device.", "declined-elsewhere": "Declined on another device.",
    "missed": "You missed a call.", "declined": "Declined.",
    "unverified": "The answer wasn't from the person you called. Nothing was sent to it.",
  };
  return known[end] ?? (text || "The call didn't work.");
}
