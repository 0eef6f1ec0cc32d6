import { ApiExtension } from '@nestjs/swagger';
import { applyDecorators } from '@nestjs/common';
import type { ErrorCode } from '../core/errors';

/** Under this name an operation carries its error codes until the document is finished. */
export const ERROR_EXTENSION = 'x-error-';

/**
 * Errors that an operation answers with, by code; used several times, they add up. Status, sentence, headers and examples
 * come from the error table.
 */
export const ApiErrors = (...codes: ErrorCode[]) =>
  applyDecorators(...codes.map((code) => ApiExtension(ERROR_EXTENSION + code, true)));
