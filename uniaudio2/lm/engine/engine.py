"""Serves requests by continuous batching: they join and leave the batch between two steps."""

from __future__ import annotations

import torch

from uniaudio2.lm.engine.async_copies import AsyncCopies, copy_lag_for
from uniaudio2.lm.engine.decode_batch import DecodeBatch
from uniaudio2.lm.engine.decode_step import DecodeStep, slots_by_output
from uniaudio2.lm.engine.limits import max_steps_of
from uniaudio2.lm.engine.prefill import ChunkedPrefill
from uniaudio2.lm.engine.prefix_cache import PrefixCache
from uniaudio2.lm.engine.request import Request, RequestOutput
from uniaudio2.lm.engine.scheduler import EngineRequest, Scheduler
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.decode_state import DecodeState
from uniaudio2.lm.sampling.grammar import phases_of
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import CudaGraphs, GraphCapture
from uniaudio2.tokens.grid import Prompt, unconditional


class Engine:
    """Answers requests in any number, `slots` at a time.

    A request goes from `scheduler.waiting` to `prefilling` to `running`. Under guidance it has two
    sequences: its conditional one, and its unconditional one right behind. What it is answered
    depends on the request and the settings alone: its draws come from its own seed, and the
    requests beside it change nothing but the rounding of floating point sums.

    Args:
        lm: the model, on its device.
        sampling: settings of all requests.
        slots: requests that are decoded together, at least 1 (elsewhere ``max_num_seqs``).
        max_prefill_positions: prompt positions that are run between two steps, about (elsewhere
            ``max_num_batched_tokens``).
        prefix: what most prompts begin with, computed once; None looks for what prompts share.
        kv_positions: see `Scheduler`; requests beyond it wait, whatever slots are free.
        graph_capture: has steps of one shape captured and replayed, where all requests generate
            the same; memory is then kept while the engine is idle. None launches every operation.
        copy_lag: see `AsyncCopies`; a finished request keeps its slot for so many steps more. None
            suits the device.

    Attributes:
        scheduler: has the waiting requests.
        prefilling: requests whose prompts are being run.
        prefill: runs them; None if there are none.
        running: requests in the slots 0..B-1.
        batch: their memory.

    Raises:
        ValueError: the settings do not suit the model, or there are no slots.
    """

    def __init__(
        self,
        lm: UniAudioLM,
        sampling: Sampling,
        slots: int,
        max_prefill_positions: int = 4096,
        prefix: Prompt | None = None,
        kv_positions: int | None = None,
        graph_capture: GraphCapture | None = None,
        copy_lag: int | None = None,
    ) -> None:
        sampling.check_vocabulary(lm.config)
        if slots < 1:
            raise ValueError(f"{slots} slots cannot hold a request; give at least 1")
        self.lm, self.sampling = lm, sampling
        self.sequences_per_request = sampling.sequences_per_request
        group_size = Scheduler.group_size_for(lm.device, slots)
        self.scheduler = Scheduler(
            slots, self.sequences_per_request, max_prefill_positions, kv_positions, group_size
        )
        known = self._sequences(prefix) if prefix else None
        self.prefix_cache = PrefixCache(lm, self.sequences_per_request, known)
        self.prefilling: list[EngineRequest] = []
        self.prefill: ChunkedPrefill | None = None
        self.running: list[EngineRequest] = []
        self.decode_step = DecodeStep(lm, sampling)
        self.graphs = CudaGraphs(graph_capture)
        self._keeps_memory = graph_capture is not None
        self.batch = self._new_batch()
        self._request_ids = 0
        self._admitted: set[int] = set()  # ids that have left the queue and have no output yet
        self._aborted: set[int] = set()  # those of them whose output nobody wants
        self._finished: dict[int, RequestOutput] = {}
        lag = copy_lag_for(lm.device) if copy_lag is None else copy_lag
        self._flags: AsyncCopies[list[int]] = AsyncCopies(lag)
        self._results: AsyncCopies[list[EngineRequest]] = AsyncCopies(lag)

    # ---- what a caller does --------------------------------------------------------------

    def add_request(self, request: Request) -> int:
        """Queue a request.

        Returns:
            the request id under which `pop_finished_outputs` will give its output.

        Raises:
            ValueError: prompt and answer do not fit into the context.
        """
        max_steps = max_steps_of(request, self.sampling, self.lm.config)
        other = request.unconditional if self.sequences_per_request == 2 else None
        length = max(len(request.prompt), len(other or request.prompt))
        self._request_ids += 1
        self.scheduler.add(EngineRequest(self._request_ids, request, length, max_steps))
        return self._request_ids

    def has_unfinished_requests(self) -> bool:
        """Whether requests wait, are in prefill or run, or outputs are on their way to the host."""
        return bool(self.scheduler.waiting or self.prefilling or self.running or len(self._results))

    def pop_finished_outputs(self) -> dict[int, RequestOutput]:
        """Give the outputs finished since the last call, by request id."""
        outputs, self._finished = self._finished, {}
        return outputs

    @torch.inference_mode()
    def abort_request(self, request_id: int) -> None:
        """Forget a request, wherever it is; its slot is free after the next step that is read."""
        self.scheduler.abort(request_id)
        self._finished.pop(request_id, None)
        if request_id in self._admitted:
            self._aborted.add(request_id)
            self._finish_aborted()

    @torch.inference_mode()
    def step(self) -> None:
        """Run a chunk of prefill, and one step of every running request."""
        self._prefill()
        if self.running:
            self._decode()
            self._free_slots()
        self._read_results()

    # ---- prefill -------------------------------------------------------------------------

    def _new_batch(self) -> DecodeBatch:
        """A batch without requests and without a KV cache."""
        return DecodeBatch(
            self.lm,
            self.scheduler.slots,
            self.sequences_per_request,
            min(self.sampling.max_frames, self.lm.config.context + 1),
            self.scheduler.kv_positions,
            in_place=self._keeps_memory,
        )

    def _sequences(
        self, prompt: Prompt, unconditional_prompt: Prompt | None = None
    ) -> list[Prompt]:
        """The prompts of a request's sequences."""
        if self.sequences_per_request == 1:
            return [prompt]
        return [prompt, unconditional_prompt or unconditional(prompt, self.lm.config)]

    def _prefill(self) -> None:
        if self.prefill is None:
            self.prefilling = self.scheduler.admit(self.running)
            if not self.prefilling:
                return
            self._admitted.update(one.request_id for one in self.prefilling)
            prompts = [
                prompt
                for one in self.prefilling
                for prompt in self._sequences(one.request.prompt, one.request.unconditional)
            ]
            self.prefill = ChunkedPrefill(self.lm, prompts, self.prefix_cache)
        self.prefill.run_chunk(self.scheduler.max_prefill_positions)
        if self.prefill.is_done:
            self._start_running(self.prefill)
            self.prefill = None

    def _start_running(self, prefill: ChunkedPrefill) -> None:
        max_steps = [one.max_steps for one in self.prefilling]
        state = DecodeState.start(
            [one.request.seed for one in self.prefilling],
            max_steps,
            [
                phases_of(one.request.answer, self.sampling.reason_limit, one.max_steps)
                for one in self.prefilling
            ],
            self.lm.device,
        )
        self.batch.add(state, max_steps, prefill)
        self.running += self.prefilling
        self.prefilling = []
        self._finish_aborted()
        self._note_outputs()

    def _finish_aborted(self) -> None:
        for slot, one in enumerate(self.running):
            if one.request_id in self._aborted:
                self.batch.state.finished[slot] = True

    def _note_outputs(self) -> None:
        """Note what all running requests generate, or else which slots generate what."""
        outputs = [one.request.output for one in self.running]
        self._slots_by_output = slots_by_output(outputs, self.lm.device)
        self._output = None if self._slots_by_output else outputs[0]

    # ---- decode --------------------------------------------------------------------------

    def _decode(self) -> None:
        shape = self.batch.step_shape(self._output)
        cache = self.batch.cache.first(shape.slots * self.sequences_per_request)
        buffers = self.batch.buffers.first(shape.slots)
        slots = self._slots_by_output

        def work() -> None:
            self.decode_step.run(buffers, cache, shape, slots)

        if self._output:
            self.graphs.run(shape, self.batch.cache_version, work)
        else:
            work()  # which slots generate what changes with every request that comes or goes
        self.batch.count_step()
        self._flags.begin([one.request_id for one in self.running], self.batch.state.finished)
        self.scheduler.count_step(len(self.running))

    # ---- outputs -------------------------------------------------------------------------

    def _free_slots(self) -> None:
        """Free the slots of requests that are known to be finished."""
        for request_ids, (flags,) in self._flags.completed():
            finished = {
                request_id
                for request_id, flag in zip(request_ids, flags.tolist(), strict=True)
                if flag
            }
            slots = [slot for slot, one in enumerate(self.running) if one.request_id in finished]
            if slots:
                self._take_out(slots)

    def _take_out(self, slots: list[int]) -> None:
        self._results.begin([self.running[slot] for slot in slots], *self.batch.results(slots))
        kept = self.batch.remove(set(slots))
        self.running = [self.running[slot] for slot in kept]
        if self.running:
            self._note_outputs()
        elif not self._keeps_memory:
            self.batch = self._new_batch()

    def _read_results(self) -> None:
        """Make outputs of what was generated, once it has come from the device."""
        for requests, tensors in self._results.completed(flush=not self.running):
            for one, tokens, steps, hit_limit, logprob in zip(requests, *tensors, strict=True):
                self._admitted.remove(one.request_id)
                if one.request_id in self._aborted:
                    self._aborted.remove(one.request_id)
                    continue
                self._finished[one.request_id] = RequestOutput.from_tokens(
                    tokens[: int(steps)],
                    one.request.output,
                    bool(hit_limit),
                    self.lm.config,
                    one.request.answer,
                    float(logprob),
                )
