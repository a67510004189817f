export type { CustomType } from './custom-schemas.ts';
export { type OpenApiInput, openApiV3Document, openApiV3Index } from './document.ts';
