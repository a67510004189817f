/** One file of node-forge, which @types/node-forge declares only as a part of the whole. */
declare module 'node-forge/lib/asn1.js' {
  import { asn1 } from 'node-forge';
  export default asn1;
}
