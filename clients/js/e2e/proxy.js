// A network that fails: connections are cut, in the middle of what they carry, fall silent, or end on one side only.

import { connect, createServer } from 'node:net';

export class Proxy {
  #server;
  #dice;
  #target;
  #pairs = new Set();
  /** Whether anything is done to connections. */
  isRough = false;
  /** Whether anybody gets through. */
  isShut = false;
  counts = { connections: 0, cut: 0, silent: 0, half: 0, late: 0, lost: 0 };

  /** `target` says where the server is at the moment: {host, port}. */
  static async before(target, dice) {
    const proxy = new Proxy();
    proxy.#dice = dice;
    proxy.#target = target;
    proxy.#server = createServer({ allowHalfOpen: true }, (client) => proxy.#carry(client));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  #carry(client) {
    if (this.isShut) {
      client.destroy();
      return;
    }
    const server = connect({ ...this.#target(), allowHalfOpen: true });
    const pair = [client, server];
    this.#pairs.add(pair);
    this.counts.connections += 1;
    const cut = () => {
      pair.forEach((end) => end.destroy());
      this.#pairs.delete(pair);
    };
    pair.forEach((end) => end.on('error', cut).on('close', cut).setNoDelay());
    const fate = this.#fate();
    this.#pipe(client, server, fate, cut);
    this.#pipe(server, client, fate, cut);
  }

  /** What becomes of a connection, and after how many bytes. Most carry a handshake and some talk first. */
  #fate() {
    const kind = this.#dice.pick(['cut', 'cut', 'torn', 'torn', 'silent', 'half', 'late', 'well']);
    return { kind, after: this.#dice.pick([200, 2_000, 8_000, 20_000, 60_000]) + this.#dice.below(4_000), lag: this.#dice.below(30), isOver: false };
  }

  #pipe(from, to, fate, cut) {
    let carried = 0;
    let last = Promise.resolve();
    from.on('end', () => last.then(() => to.end()));
    from.on('data', (chunk) => {
      carried += chunk.length;
      if (!this.isRough) return this.#pass(to, chunk);
      if (fate.isOver && fate.kind !== 'well') return undefined;
      if (fate.kind === 'late') {
        this.counts.late += 1;
        last = last.then(() => new Promise((resolve) => setTimeout(resolve, fate.lag))).then(() => this.#pass(to, chunk));
        return undefined;
      }
      if (carried < fate.after || fate.kind === 'well') return this.#pass(to, chunk);
      fate.isOver = true;
      return this.#fail(to, chunk, fate, cut);
    });
  }

  #pass(to, chunk) {
    if (!to.destroyed && to.writable) to.write(chunk);
  }

  #fail(to, chunk, fate, cut) {
    if (fate.kind === 'silent') {
      this.counts.silent += 1;
    } else if (fate.kind === 'half') {
      this.counts.half += 1;
      to.end(chunk.subarray(0, chunk.length >> 1));
    } else {
      this.counts.cut += 1;
      if (fate.kind === 'cut') cut();
      else to.end(chunk.subarray(0, this.#dice.below(chunk.length)), cut);
    }
  }

  /** Cuts some of the connections that are there now. */
  cutSome(oneIn) {
    for (const pair of [...this.#pairs]) {
      if (this.#dice.oneIn(oneIn)) {
        this.counts.cut += 1;
        pair.forEach((end) => end.destroy());
        this.#pairs.delete(pair);
      }
    }
  }

  /** Nobody gets through any more. */
  shut() {
    this.isShut = true;
    this.cutSome(1);
  }

  close() {
    this.#pairs.forEach((pair) => pair.forEach((end) => end.destroy()));
    this.#server.close();
  }
}
