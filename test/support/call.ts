/** An answer of the API over HTTP; without a body it has no fields. */
export interface CallAnswer {
  status: number;
  body: Record<string, string>;
}

/**
 * Calls a server as a client does.
 *
 * @param url where it listens
 * @param path below the API's base path
 */
export async function callApi(
  url: string,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: object,
): Promise<CallAnswer> {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: JSON.parse(text || '{}') as Record<string, string> };
}
