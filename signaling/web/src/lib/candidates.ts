// SPDX-License-Identifier: Apache-2.0
// ICE candidates (RFC 8839, section 5.1): of one's own, without what they would give away besides;
// of a peer, made again from their parts; of a relay's leg, from the server's address.

// UDP alone, one component: all is bundled on one transport.
const kCandidate =
  /^candidate:([A-Za-z0-9+/]{1,32}) 1 udp (\d{1,10}) ([0-9A-Za-z:.-]{1,64}) (\d{1,5}) typ (host|srflx|prflx|relay)(?: |$)/i;
const kMdnsName = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.local$/;

export interface RelayedAddress {
  ip: Uint8Array; // 4 or 16 bytes
  port: number;
}

// The candidate without its related address, generation and whatever else follows; null if it isn't
// one that a peer could use. Both for one's own before they go, and for a peer's.
export function cleanCandidate(line: string): string | null {
  const found = kCandidate.exec(line.replace(/^a=/, ""));
  if (!found) return null;
  const [, foundation, priority, host, port, type] = found as unknown as [string, string, string, string, string, string];
  const name = host.toLowerCase();
  if (Number(priority) > 0xffff_ffff || Number(port) < 1 || Number(port) > 65535) return null;
  if (!(kMdnsName.test(name) && type === "host") && !isUnicast(name)) return null;
  // A related address is asked for by the grammar; this is the one that stacks write for none.
  const related = type.toLowerCase() === "host" ? "" : " raddr 0.0.0.0 rport 0";
  return `candidate:${foundation} 1 udp ${priority} ${name} ${port} typ ${type.toLowerCase()}${related}`;
}

export function relayCandidate(address: RelayedAddress): string | null {
  const ip = formatIp(address.ip);
  if (!ip || !isUnicast(ip) || address.port < 1 || address.port > 65535) return null;
  const foundation = address.ip.length === 4 ? 4 : 6;
  return `candidate:${foundation} 1 udp ${0x7fffff} ${ip} ${address.port} typ relay raddr 0.0.0.0 rport 0`;
}

export function formatIp(ip: Uint8Array): string | null {
  if (ip.length === 4) return ip.join(".");
  if (ip.length !== 16) return null;
  const groups = Array.from({ length: 8 }, (_, i) => ((ip[2 * i]! << 8) | ip[2 * i + 1]!).toString(16));
  return groups.join(":");
}

// A literal address that another host can have: neither unspecified, loopback, multicast nor
// broadcast, nor an IPv4 address in the clothes of IPv6.
export function isUnicast(text: string): boolean {
  const v4 = parseIpv4(text);
  if (v4) return v4[0]! > 0 && v4[0] !== 127 && v4[0]! < 224;
  const v6 = parseIpv6(text);
  if (!v6) return false;
  const low = v6.slice(0, 5).every((group) => group === 0); // ::, ::1, mapped and compatible forms
  return !low && v6[0]! < 0xff00;
}

function parseIpv4(text: string): number[] | null {
  if (!/^(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})$/.test(text)) return null;
  const bytes = text.split(".").map(Number);
  return bytes.every((byte) => byte < 256) ? bytes : null;
}

function parseIpv6(text: string): number[] | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const groups = halves.map((half) => (half ? half.split(":") : []));
  if (groups.flat().some((group) => !/^[0-9a-f]{1,4}$/i.test(group))) return null;
  const [head = [], tail = []] = groups;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  return [...head, ...Array<string>(halves.length === 2 ? missing : 0).fill("0"), ...tail]
    .map((group) => parseInt(group, 16));
}
