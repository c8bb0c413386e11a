// SPDX-License-Identifier: Apache-2.0
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface DialogProps {
  title: ComponentChildren;
  children: ComponentChildren;
  // Escape and the close button; without it the dialog stays until it is answered.
  onClose?: () => void;
  kind?: string;
}

export function Dialog({ title, children, onClose, kind }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current!.showModal();
    return () => (before as HTMLElement | null)?.focus?.();
  }, []);
  return (
    <dialog
      ref={dialog} class={`dialog ${kind ?? ""}`} aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
    >
      <header class="dialog-head">
        <h2 id={heading}>{title}</h2>
        {onClose && (
          <button type="button" class="quiet" onClick={onClose}>Close</button>
        )}
      </header>
      {children}
    </dialog>
  );
}
