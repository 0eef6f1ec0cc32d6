import { ApiExtension } from '@nestjs/swagger';

/** Under this name an operation carries what its success means until the document is finished. */
export const SUCCESS_EXTENSION = 'x-success';

/** What it means that an operation answers 2xx, for the API document. */
export const ApiSuccess = (description: string) => ApiExtension(SUCCESS_EXTENSION, description);
