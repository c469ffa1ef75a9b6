// Listeners by name. One that throws neither stops the others nor what is being told.

export class Emitter {
  #listeners = new Map();

  /** Listens; what it returns stops listening. */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => this.off(name, listener);
  }

  once(name, listener) {
    const off = this.on(name, (...told) => {
      off();
      listener(...told);
    });
    return off;
  }

  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
  }

  emit(name, ...told) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(...told);
      } catch (error) {
        // As if it had been thrown where nobody is called: the order of what is told does not hang on it.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** Nobody listens any more. */
  silence() {
    this.#listeners.clear();
  }
}
