import { connect } from 'node:net';
import { issued } from './secret-watch';

/** An answer as it came over the wire. */
export interface RawAnswer {
  status: number;
  /** Names in lower case, in the order in which they came. */
  headers: [name: string, value: string][];
  body: string;
}

/**
 * Sends bytes that need not be HTTP, and waits until the server has closed the connection. Everything it answered.
 *
 * @param last sent once an answer has come that leaves the connection open: a request that asks to have it closed
 */
export async function sendRaw(url: string, bytes: string | Buffer, last = ''): Promise<RawAnswer[]> {
  const received = await new Promise<string>((resolve, reject) => {
    let text = '';
    let unsent = last;
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (unsent === '' || !text.includes('\r\n\r\n') || /^connection: close\r$/im.test(text)) return;
      socket.write(unsent);
      unsent = '';
    });
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });
  const answers = parseAnswers(received);
  takeNote(bytes.toString() + last, answers);
  return answers;
}

/** Of several requests in a row it is not told apart which was answered how: each is watched for if one was accepted. */
function takeNote(sent: string, answers: RawAnswer[]): void {
  const accepted = answers.find(({ status }) => status < 300);
  if (!accepted) return;
  const [, retryKey = ''] = /^idempotency-key: (.*)\r$/im.exec(sent) ?? [];
  const headers = new Headers({ 'idempotency-key': retryKey });
  for (const request of sent.split('\r\n\r\n').slice(1)) {
    issued.noteCall({ status: accepted.status, headers, request, answer: '' });
  }
  for (const { status, body: answer } of answers) {
    issued.noteCall({ status, headers: new Headers(), request: '', answer });
  }
}

/** The value of a header, or undefined; several are joined. */
export function headerOf({ headers }: RawAnswer, name: string): string | undefined {
  const values = headers.filter(([known]) => known === name).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(', ');
}

function parseAnswers(received: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let rest = received; rest !== '';) {
    const headEnd = rest.indexOf('\r\n\r\n');
    const [statusLine = '', ...lines] = rest.slice(0, headEnd).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]);
    if (headEnd === -1 || Number.isNaN(status)) throw new Error(`This is no HTTP answer: ${rest}`);
    const headers = lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
    const answer = { status, headers, body: '' };
    const length = Number(headerOf(answer, 'content-length') ?? 0);
    answer.body = Buffer.from(rest.slice(headEnd + 4, headEnd + 4 + length), 'latin1').toString('utf8');
    answers.push(answer);
    rest = rest.slice(headEnd + 4 + length);
  }
  return answers;
}
