import { Param, type PipeTransform } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { ApiError, type ErrorCode } from '../core/errors';
import { type IdPrefix, isId } from '../core/ids';

/**
 * Lets nothing but an id through, letter for letter. Engines are not asked: to MySQL an id with blanks behind it equals the one
 * without, but not to whoever goes on with it in memory, nor to the audit trail.
 */
class IdPipe implements PipeTransform<string, string> {
  constructor(
    private readonly prefix: IdPrefix,
    private readonly missing: ErrorCode,
  ) {}

  /** @throws ApiError the code that says that there is no such thing */
  transform(text: string): string {
    if (!isId(this.prefix, text)) throw new ApiError(this.missing);
    return text;
  }
}

/**
 * An id in the path, as a parameter of a handler.
 *
 * @param missing what is answered for any other text, as for an id that nobody has
 * @param description for the API document
 */
export const IdParam =
  (name: string, prefix: IdPrefix, missing: ErrorCode, description: string): ParameterDecorator =>
  (controller, method, index) => {
    if (method === undefined) throw new Error('An id belongs to a method');
    Param(name, new IdPipe(prefix, missing))(controller, method, index);
    const handler = Object.getOwnPropertyDescriptor(controller, method) as PropertyDescriptor;
    ApiParam({ name, description, schema: { type: 'string' } })(controller, method, handler);
  };
