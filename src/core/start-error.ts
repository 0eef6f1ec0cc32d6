/** The start cannot go on. The message tells the operator in a sentence what is wrong and what to change. */
export class StartError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'StartError';
  }
}
