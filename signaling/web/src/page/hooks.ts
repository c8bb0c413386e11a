// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef, useState } from "preact/hooks";
import type { Emitter } from "../lib/emitter";

// Draws again whenever one of these says "change".
export function useChange(...sources: (Emitter<never> | null)[]): void {
  const [, draw] = useState(0);
  useEffect(() => {
    const ends = sources.map((source) =>
      (source as Emitter<{ change: void }> | null)?.on("change", () => draw((n) => n + 1)));
    return () => ends.forEach((end) => end?.());
  }, sources);
}

export function useEvery(ms: number, run: () => void): void {
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    const timer = setInterval(() => latest.current(), ms);
    latest.current();
    return () => clearInterval(timer);
  }, [ms]);
}

// The page's title, until the component goes.
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
    return () => {
      document.title = "Sotto";
    };
  }, [title]);
}
