"""A pretend GPU: lets an ordinary CPU build of torch run the code paths for CUDA.

``import pretend_cuda.device`` gives torch two devices, "cuda:0" and "cuda:1", for the rest of the
process. Their tensors are computed on the CPU. What a GPU refuses is refused: tensors of two
devices in one operation, a generator of another device, ``.numpy()`` of a tensor there,
synchronisation where it is forbidden, and what a CUDA graph may not hold.

It has no speed, no limit of memory, no kernels of its own (so no TF32, and no order of sums that
changes from run to run), and nothing on it runs at the same time as the CPU. Where it and a GPU
disagree, the GPU is right.

``parent`` runs the tests marked gpu in a process of their own that has this device. It is written
against torch 2.13, and uses private parts of torch.
"""
