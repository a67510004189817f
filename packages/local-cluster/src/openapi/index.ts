export { type CustomType, type OpenApiInput, openApiV3Document, openApiV3Index } from './document.ts';
