import { runPlugin } from './plugin.ts';

void runPlugin();
