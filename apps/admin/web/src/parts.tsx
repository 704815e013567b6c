import type { ComponentChildren } from 'preact';

export function Card({ title, value, note }: { title: string; value: ComponentChildren; note?: ComponentChildren }) {
  return (
    <div class="card">
      <div class="title">{title}</div>
      <div class="value">{value}</div>
      {note !== undefined && <div class="note">{note}</div>}
    </div>
  );
}

export function Trouble({ error }: { error: string | undefined }) {
  return error ? <p class="trouble">{error}</p> : null;
}

/** `part` of 0 to 1; undefined while the whole is not known. */
export function Bar({ part }: { part: number | undefined }) {
  return part === undefined ? <progress /> : <progress value={part} max={1} />;
}

/** What people type, as it is after they stop. */
export function Search({ value, hint, onChange }: { value: string; hint: string; onChange(value: string): void }) {
  return (
    <input
      type="search"
      placeholder={hint}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      aria-label={hint}
    />
  );
}
