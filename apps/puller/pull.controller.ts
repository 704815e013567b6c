import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import type { Delivery, PullRequested, Verdict } from '#bus';
import { PULL_REQUESTED } from '#bus/adapters';
import { PullWorker } from '#registry';

@Controller()
export class PullController {
  constructor(private readonly worker: PullWorker) {}

  @EventPattern<string>(PULL_REQUESTED)
  handle(@Payload() event: PullRequested, @Ctx() delivery: Delivery): Promise<Verdict> {
    return this.worker.handle(event, delivery);
  }
}
