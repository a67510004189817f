export * from './agent/enrolment.ts';
