/** A queue that is read from its head without moving the rest. */
class Line<T> {
  private items: T[] = [];
  private head = 0;

  get empty(): boolean {
    return this.head === this.items.length;
  }

  push(item: T): void {
    this.items.push(item);
  }

  shift(): T | undefined {
    const item = this.items[this.head];
    if (item === undefined) return undefined;
    this.head++;
    // Amortised: each item is moved at most once on average, and the spent half is given back.
    if (this.empty) {
      this.items = [];
      this.head = 0;
    } else if (this.head >= 1024 && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }
}

/** One line for each name; the names take turns, and within a line first come is first served. */
export class Turns<T> {
  /** In the order of their turns; no line is empty. */
  private readonly lines = new Map<string, Line<T>>();

  push(name: string, item: T): void {
    let line = this.lines.get(name);
    if (!line) {
      line = new Line();
      this.lines.set(name, line);
    }
    line.push(item);
  }

  /** The next of the first name whose turn it is and that `may` have one. */
  shift(may: (name: string) => boolean): T | undefined {
    for (const [name, line] of this.lines) {
      if (!may(name)) continue;
      this.lines.delete(name);
      const item = line.shift();
      if (!line.empty) this.lines.set(name, line);
      return item;
    }
    return undefined;
  }

  clear(): void {
    this.lines.clear();
  }
}
