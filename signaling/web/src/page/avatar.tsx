// SPDX-License-Identifier: Apache-2.0
const kTints = 6;

// The beginning of a name in one of six tints, always the same for a name.
export function Avatar({ name, large }: { name: string; large?: boolean }) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.charCodeAt(0)) % 9973;
  return (
    <span class={`avatar tint-${sum % kTints} ${large ? "avatar-large" : ""}`} aria-hidden="true">
      {(name.match(/[A-Za-z0-9]/)?.[0] ?? "?").toUpperCase()}
    </span>
  );
}
