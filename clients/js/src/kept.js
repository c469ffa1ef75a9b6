// Where unsent messages outlive the client. A storage that fails keeps nobody from speaking.

import { asChatError } from './errors.js';

export class Kept {
  #storage;
  #key;
  #tell;

  constructor(storage, key, tell) {
    this.#storage = storage;
    this.#key = key;
    this.#tell = tell;
  }

  async load(userId) {
    try {
      return JSON.parse((await this.#storage?.getItem(`${this.#key}:${userId}`)) ?? '[]');
    } catch (error) {
      this.#tell(asChatError(error));
      return [];
    }
  }

  async save(userId, entries) {
    try {
      await this.#storage?.setItem(`${this.#key}:${userId}`, JSON.stringify(entries));
    } catch (error) {
      this.#tell(asChatError(error));
    }
  }
}
