/** Fields of a request whose values grant access once they were accepted. */
const CHOSEN = ['password', 'currentPassword', 'newPassword'];

/**
 * Fields of an answer whose values do. In a request they are what was given out before, or any text: a login takes whatever
 * is called a device token.
 */
const GIVEN_OUT = ['token', 'refreshToken', 'apiKey', 'deviceToken'];

/** The header whose value lets a refresh be repeated. */
const RETRY_KEY = 'idempotency-key';

/** Shorter ones are words that stand elsewhere too. */
const SHORTEST = 8;

/** What a secret looks like in one form, and which it is. */
interface Form {
  text: string;
  secret: string;
}

/** A call of the service, whichever way it was sent, with its bodies as text. */
interface Exchange {
  status: number;
  headers: Headers;
  request: unknown;
  answer: string;
}

/**
 * Remembers every password and every key of a repetition that was accepted and every token and key that was given out, to
 * look for them where they must not be.
 */
export class SecretWatch {
  private readonly secrets = new Set<string>();
  /** By how they end: the beginnings of tokens are all the same. */
  private readonly forms = new Map<string, Form[]>();

  /** Takes note of the bodies of a call that succeeded. */
  note(request: unknown, answer: unknown = undefined): void {
    for (const [body, fields] of [[request, CHOSEN] as const, [answer, GIVEN_OUT] as const]) {
      if (typeof body !== 'object' || body === null) continue;
      for (const field of fields) {
        const value = (body as Record<string, unknown>)[field];
        if (typeof value === 'string') this.noteTyped(value);
      }
    }
  }

  /** Takes note of a call, if it succeeded. Whoever does not call by `fetch` has to tell of it. */
  noteCall({ status, headers, request, answer }: Exchange): void {
    if (status < 200 || status >= 300) return;
    this.note(parsed(request), parsed(answer));
    this.noteTyped(headers.get(RETRY_KEY) ?? '');
  }

  /** Takes note of what was accepted by itself: a password on standard input. */
  noteTyped(text: string): void {
    if (text.length >= SHORTEST) this.add(text);
  }

  /** How many there are by now. */
  get size(): number {
    return this.secrets.size;
  }

  /** Those that the text holds, as they are or in the forms that logs and columns would give them. */
  foundIn(text: string): string[] {
    const found = new Set<string>();
    for (let end = SHORTEST; end <= text.length; end += 1) {
      for (const form of this.forms.get(text.slice(end - SHORTEST, end)) ?? []) {
        if (text.startsWith(form.text, end - form.text.length)) found.add(form.secret);
      }
    }
    return [...found];
  }

  /** @throws Error that names what was found, and where */
  refuseLeaks(where: string, text: string): void {
    const leaked = this.foundIn(text);
    if (leaked.length > 0) throw new Error(`In the clear in ${where}: ${leaked.join(', ')}`);
  }

  private add(secret: string): void {
    if (this.secrets.has(secret)) return;
    this.secrets.add(secret);
    for (const text of formsOf(secret)) {
      const end = text.slice(-SHORTEST);
      this.forms.set(end, [...(this.forms.get(end) ?? []), { text, secret }]);
    }
  }
}

/** A secret as it is, and as JSON, a URL, a form, hex and base64 write it, wherever in a longer text it stands. */
function formsOf(secret: string): Set<string> {
  const bytes = Buffer.from(secret);
  const inBase64 = [0, 1, 2].map((before) =>
    Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      // Without the characters that its neighbours decide as well.
      .slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6)),
  );
  return new Set([
    ...[secret, JSON.stringify(secret).slice(1, -1)],
    ...[encodeURIComponent(secret.toWellFormed()), new URLSearchParams({ '': secret }).toString().slice(1)],
    ...[bytes.toString('hex'), bytes.toString('hex').toUpperCase()],
    ...inBase64,
    ...inBase64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
  ]);
}

/** What the service was given and gave out in this test file. */
export const issued = new SecretWatch();

const send = globalThis.fetch;

/** Most tests call the service in this way, whichever process answers. */
globalThis.fetch = async (input, init) => {
  const response = await send(input, init);
  const { pathname } = new URL(input instanceof Request ? input.url : input);
  if (response.ok && pathname.startsWith('/api/v1/')) {
    // Whoever calls learns by himself that an answer breaks off.
    const answer = await response
      .clone()
      .text()
      .catch(() => '');
    const { status } = response;
    issued.noteCall({ status, headers: new Headers(init?.headers), request: init?.body, answer });
  }
  return response;
};

function parsed(body: unknown): unknown {
  if (typeof body !== 'string') return undefined;
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
