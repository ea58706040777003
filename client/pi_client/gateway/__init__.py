"""``pi-client gateway``: the Open Inference Protocol (KServe v2) in the client's own domain, the private one behind.

Programs that know nothing of this package get predictions from a server that does not see their pictures. REST and
gRPC have messages of their own (``rest_messages``, ``rpc_messages``), which become those of ``messages``; ``model``
says which tensors a model has and makes inputs and outputs of them; ``gateway`` answers, ``request_queue`` has one
request answered after another, ``stock`` prepares ahead.

Source: github.com/kserve/open-inference-protocol; raw tensors in REST are Triton's extension "binary data".
"""
