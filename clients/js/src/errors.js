// The one error of this package: the server's error object, or something of the network in the same shape.

/** Codes that the client itself makes; all others are the server's. */
export const DISCONNECTED = 'DISCONNECTED';
export const TIMEOUT = 'TIMEOUT';
export const NETWORK = 'NETWORK';
export const CLOSED = 'CLOSED';
export const CANCELLED = 'CANCELLED';

/** The session is over: another token of it is no use either. */
const FATAL = new Set(['AUTH_REVOKED', 'AUTH_USER_TYPE_INVALID', 'AUTH_IDENTITY_MISMATCH', 'INVALID_CREDENTIALS']);
/** This token is no use; another may be. */
const BAD_TOKEN = new Set(['AUTH_TOKEN_EXPIRED', 'AUTH_TOKEN_INVALID', 'AUTH_TOKEN_MISSING']);
/** Nothing is wrong with what was asked: it was asked before the socket was let in, or just after its token ended. */
const NOT_LET_IN = new Set([...BAD_TOKEN, 'AUTH_REQUIRED', 'AUTH_TIMEOUT']);

export class ChatError extends Error {
  /** @param {Record<string, unknown>} body the server's error object, or a part of it */
  constructor(body) {
    super(body.message ?? body.code);
    this.name = 'ChatError';
    this.code = body.code ?? 'INTERNAL_ERROR';
    this.status = body.status ?? 0;
    this.retryable = body.retryable ?? false;
    this.retryAfterMs = body.retryAfterMs;
    this.event = body.event;
    this.ref = body.ref;
    this.fields = body.fields;
    this.traceId = body.traceId;
  }

  get isFatal() {
    return FATAL.has(this.code);
  }

  get isBadToken() {
    return BAD_TOKEN.has(this.code);
  }

  /** Whether the same request may succeed later as it stands. */
  get isPassing() {
    return this.retryable || NOT_LET_IN.has(this.code);
  }
}

export function disconnected() {
  return new ChatError({ code: DISCONNECTED, message: 'The connection was lost before the answer came.', retryable: true });
}

export function timedOut(event, ms) {
  return new ChatError({ code: TIMEOUT, message: `No answer to ${event} within ${ms} ms.`, retryable: true, event });
}

export function network(cause) {
  const error = new ChatError({ code: NETWORK, message: `The server cannot be reached: ${cause?.message ?? cause}`, retryable: true });
  error.cause = cause;
  return error;
}

export function closed() {
  return new ChatError({ code: CLOSED, message: 'The client was closed.' });
}

/** Whatever was thrown, as a ChatError; what is not known is worth another try. */
export function asChatError(error) {
  return error instanceof ChatError ? error : network(error);
}
