// SPDX-License-Identifier: Apache-2.0
// Icons are drawn; the words stand beside them or in the button's label.
const kPaths = {
  phone: "M6.5 4h3l1.5 4-2 1.5a11 11 0 0 0 5.5 5.5l1.5-2 4 1.5v3a1.5 1.5 0 0 1-1.6 1.5A16 16 0 0 1 5 5.6 1.5 1.5 0 0 1 6.5 4Z",
  video: "M4.5 7h9A1.5 1.5 0 0 1 15 8.5v7a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 3 15.5v-7A1.5 1.5 0 0 1 4.5 7ZM15 11l6-3.5v9L15 13",
  hangUp: "M3.5 14.2c-.7-.9-.6-2.3.2-3.1 4.6-4.1 12-4.1 16.6 0 .8.8.9 2.2.2 3.1l-1.1 1.2c-.5.5-1.3.6-1.9.3l-2.2-1.2c-.5-.3-.8-.9-.8-1.5v-1.3a9 9 0 0 0-5 0V13c0 .6-.3 1.2-.8 1.5l-2.2 1.2c-.6.3-1.4.2-1.9-.3Z",
  mic: "M12 3.5a2.5 2.5 0 0 1 2.5 2.5v5a2.5 2.5 0 0 1-5 0V6A2.5 2.5 0 0 1 12 3.5ZM6 11a6 6 0 0 0 12 0M12 17v3.5",
  micOff: "M9.5 6A2.5 2.5 0 0 1 14.5 6v4.5M14 12.8a2.5 2.5 0 0 1-4.5-1.8V9M6 11a6 6 0 0 0 9.5 4.9M18 11a6 6 0 0 1-.6 2.6M12 17v3.5M4 4l16 16",
  videoOff: "M8 7h5.5A1.5 1.5 0 0 1 15 8.5V13M14.5 16.7a1.5 1.5 0 0 1-1 .3h-9A1.5 1.5 0 0 1 3 15.5v-7c0-.6.3-1.1.8-1.3M15 11l6-3.5v9l-3.5-2M4 4l16 16",
  settings: "M4 7h9M17 7h3M4 12h3M11 12h9M4 17h9M17 17h3M15 5v4M9 10v4M15 15v4",
  shield: "M12 3.5 19 6v5.5c0 4.2-2.8 7.3-7 9-4.2-1.7-7-4.8-7-9V6Z",
  plus: "M12 5v14M5 12h14",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z",
  missed: "M20 7l-8 8-7.5-7.5M4.5 13V7.5H10",
  arrowOut: "M7 17 17 7M9 7h8v8",
  arrowIn: "M17 7 7 17M7 9v8h8",
  block: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16ZM6.5 6.5l11 11",
  check: "M5 12.5l4.5 4.5L19 7.5",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  warning: "M12 4 21 19.5H3ZM12 10v4.5M12 17h.01",
} as const;

export type IconName = keyof typeof kPaths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={kPaths[name]} />
    </svg>
  );
}

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d="M6 15V9M10 13v-2M14 16V8M18 13v-2" />
    </svg>
  );
}
