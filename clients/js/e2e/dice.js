// Chance that can be repeated: the same seed gives the same numbers (SplitMix64, as in the Rust tests).

const MASK = (1n << 64n) - 1n;

export class Dice {
  #state;

  constructor(seed) {
    this.#state = BigInt(seed) & MASK;
  }

  roll() {
    this.#state = (this.#state + 0x9e3779b97f4a7c15n) & MASK;
    let mixed = this.#state;
    mixed = ((mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
    mixed = ((mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn) & MASK;
    return mixed ^ (mixed >> 31n);
  }

  /** From 0 on and below this one. */
  below(end) {
    return Number(this.roll() % BigInt(end));
  }

  oneIn(times) {
    return this.below(times) === 0;
  }

  pick(among) {
    return among[this.below(among.length)];
  }

  /** As Math.random. */
  fraction() {
    return Number(this.roll() >> 11n) / 2 ** 53;
  }
}
