"""A minimal reviewer: ReviewerService in one file, with rules instead of a model.

    python minimal_server.py --port 7055
"""

import argparse
import hashlib
import importlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent import futures
from importlib import resources
from pathlib import Path

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

VERSION = "minimal-python/1"
MAX_PDF = 24 << 20
MAX_TEXT = 4 << 20
SCORES = {
    "Originality": 4, "Quality": 4, "Clarity": 4, "Significance": 4, "Soundness": 4,
    "Presentation": 4, "Contribution": 4, "Overall": 10, "Confidence": 5,
}
# What a reader looks for, and what its absence is called.
WANTED = [
    ("an abstract", r"(?i)\babstract\b"),
    ("a baseline", r"(?i)\bbaselines?\b"),
    ("a measure of spread", r"(?i)standard (error|deviation)|confidence interval|±|\\pm|error bar"),
    ("repetitions", r"(?i)\bseeds?\b|repetition|repeated|trials"),
    ("limitations", r"(?i)\blimitations?\b"),
    ("references", r"(?i)\breferences\b|bibliography|\\cite|\[\d+\]"),
]


def load_stubs(protos: Path, into: str):
    """Generates the Python classes of the contract and imports them."""
    wkt = str(resources.files("grpc_tools") / "_proto")
    names = ["nullius/record/v1/record.proto", "nullius/reviewer/v1/reviewer.proto"]
    args = ["protoc", f"-I{protos}", f"-I{wkt}", f"--python_out={into}", f"--grpc_python_out={into}"]
    if protoc.main(args + names) != 0:
        sys.exit(f"cannot compile the protos in {protos}; name their folder with --protos")
    sys.path.insert(0, into)
    return (
        importlib.import_module("nullius.reviewer.v1.reviewer_pb2"),
        importlib.import_module("nullius.reviewer.v1.reviewer_pb2_grpc"),
        importlib.import_module("nullius.record.v1.record_pb2"),
    )


class BadPaper(Exception):
    """The input is no paper; reason is one of the contract's, next what a person should type."""

    def __init__(self, reason, message, code=grpc.StatusCode.INVALID_ARGUMENT, next=""):
        super().__init__(message)
        self.reason, self.code, self.next = reason, code, next

    def status(self):
        """The gRPC status with the reason as ErrorInfo, which is where callers look for it."""
        info = error_details_pb2.ErrorInfo(reason=self.reason, domain="nullius.dev", metadata={"next": self.next} if self.next else {})
        detail = any_pb2.Any()
        detail.Pack(info)
        return rpc_status.to_status(status_pb2.Status(code=self.code.value[0], message=str(self), details=[detail]))


def read_pdf(data: bytes) -> str:
    if len(data) > MAX_PDF:
        raise BadPaper("PAYLOAD_TOO_LARGE", "the PDF is too large", grpc.StatusCode.RESOURCE_EXHAUSTED)
    if not data.strip():
        raise BadPaper("PAPER_EMPTY", "the PDF is empty")
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(data)
        file.flush()
        try:
            done = subprocess.run(["pdftotext", "-q", "-enc", "UTF-8", file.name, "-"], capture_output=True, timeout=60)
        except FileNotFoundError:
            raise BadPaper(
                "TOOL_MISSING", "pdftotext is not installed", grpc.StatusCode.FAILED_PRECONDITION, "apt-get install poppler-utils"
            ) from None
        except subprocess.TimeoutExpired:
            raise BadPaper("PDF_UNREADABLE", "the PDF takes too long to read") from None
    if done.returncode != 0:
        reason = "PDF_ENCRYPTED" if b"/Encrypt" in data else "PDF_UNREADABLE"
        raise BadPaper(reason, "the PDF cannot be read")
    text = done.stdout.decode("utf-8", "replace")
    if not text.strip():
        raise BadPaper("PDF_UNREADABLE", "the PDF holds no text")
    return text


def judge(text: str) -> dict:
    """The review. Deterministic: the text decides, nothing else."""
    found = [name for name, pattern in WANTED if re.search(pattern, text)]
    missing = [name for name, _ in WANTED if name not in found]
    words = len(text.split())
    overall = min(10, max(1, 1 + len(found) - (words < 800)))
    item = min(4, max(1, 1 + len(found) // 2))
    scores = {name: item for name in SCORES}
    scores.update(Overall=overall, Confidence=2)
    sentence = next((s.strip() for s in re.split(r"(?<=[.!?])\s+", text) if 40 < len(s.strip()) < 300), "")
    return {
        "summary": f"A paper of about {words} words. It was checked by rules, not read for its content.",
        "strengths": [f"The paper has {name}." for name in found],
        "weaknesses": [f"The paper does not show {name}." for name in missing] or ["No rule found a fault; that is not praise."],
        "questions": [f"Where does the paper show {name}?" for name in missing],
        "limitations": ["This reviewer applies fixed rules and understands nothing."],
        "scores": scores,
        "quote": sentence,
    }


def make_servicer(pb, pb_grpc, record):
    class Reviewer(pb_grpc.ReviewerServiceServicer):
        def ListForms(self, request, context):
            item = pb.Item
            items = [item(name="Summary", type=item.TEXT)]
            items += [item(name=n, type=item.LIST) for n in ("Strengths", "Weaknesses", "Questions", "Limitations")]
            items += [item(name="Ethical Concerns", type=item.FLAG)]
            items += [item(name=n, type=item.SCORE, minimum=1, maximum=top) for n, top in SCORES.items()]
            items += [item(name="Decision", type=item.DECISION)]
            form = pb.Form(id="neurips-2022", version="1", venue="NeurIPS 2022", items=items, overall_item="Overall", default_threshold=6)
            return pb.ListFormsResponse(
                forms=[form], accepts=[pb.Accepts.PDF, pb.Accepts.TEXT],
                max_pdf_bytes=MAX_PDF, max_text_bytes=MAX_TEXT, version=VERSION,
            )

        def ReviewPaper(self, request, context):
            yield pb.ReviewPaperResponse(progress=record.Progress(phase="reading the paper"))
            try:
                review = self.review(request)
            except BadPaper as bad:
                context.abort_with_status(bad.status())
            yield pb.ReviewPaperResponse(result=review)

        def review(self, request):
            if request.form not in ("", "neurips-2022"):
                raise BadPaper("FORM_UNKNOWN", f"there is no form {request.form!r}")
            kind = request.WhichOneof("paper")
            if kind == "pdf":
                raw, text = request.pdf, read_pdf(request.pdf)
            elif kind == "text":
                raw, text = request.text.encode(), request.text
            else:
                raise BadPaper("FIELD_INVALID", "paper: this reviewer takes pdf or text")
            if not text.strip():
                raise BadPaper("PAPER_EMPTY", "the paper holds no text")
            if len(raw) > (MAX_PDF if kind == "pdf" else MAX_TEXT):
                raise BadPaper("PAYLOAD_TOO_LARGE", "the paper is too large", grpc.StatusCode.RESOURCE_EXHAUSTED)
            return self.answer(request, kind, raw, text, judge(text))

        def answer(self, request, kind, raw, text, said):
            threshold = request.policy.threshold or 6
            overall = said["scores"]["Overall"]
            accept = overall >= threshold
            out = pb.Review(
                outcome=pb.Review.REVIEWED, form="neurips-2022", summary=said["summary"], strengths=said["strengths"],
                weaknesses=said["weaknesses"], questions=said["questions"], limitations=said["limitations"],
                decision=pb.Decision.ACCEPT if accept else pb.Decision.REJECT,
                decision_reason=f"Overall {overall} {'reaches' if accept else 'is under'} {threshold:g}",
                extraction="pdf: good" if kind == "pdf" else "text",
                provenance=pb.Provenance(paper_digest="sha256:" + hashlib.sha256(raw).hexdigest(), reviewer=VERSION),
            )
            for name, value in said["scores"].items():
                out.scores.add(item=name, value=value, mean=value, minimum=value, maximum=value, n=1)
            out.raw.add(name="reviewer-1", model="rules", usable=True)
            if said["quote"]:
                comment = out.comments.add(claim="A sentence of the paper, as this reviewer read it.", severity="minor", item="Clarity", strength=True)
                comment.quotes.add(text=said["quote"], offset=len(text[: text.find(said["quote"])].encode()))
            return out

    return Reviewer()


def main():
    here = Path(__file__).resolve()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=7055, help="0: any free port")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--protos", type=Path, default=here.parents[3] / "proto")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="nullius-stubs-") as folder:
        pb, pb_grpc, record = load_stubs(args.protos, folder)
        limits = [("grpc.max_receive_message_length", 32 << 20), ("grpc.max_send_message_length", 32 << 20)]
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 2), options=limits)
        pb_grpc.add_ReviewerServiceServicer_to_server(make_servicer(pb, pb_grpc, record), server)
        port = server.add_insecure_port(f"{args.host}:{args.port}")
        server.start()
        print(f"reviewer listens on {args.host}:{port}", flush=True)
        stop = threading.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stop.set())
        stop.wait()
        server.stop(grace=3).wait()


if __name__ == "__main__":
    main()
