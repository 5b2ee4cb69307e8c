"""GuideLLM in the environment made for it; the standard library only, and its command."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

tokenizer, url, mode, amount, tokens, seconds, out = sys.argv[1:]
report = Path(tempfile.mkdtemp()) / "report.json"
profile, count = f"kind=constant,rate={amount}", float(seconds) * float(amount)
if mode == "closed":
    rounds = float(seconds) / (0.2 + 0.02 * int(tokens))
    profile = f"kind=concurrent,streams={int(float(amount))}"
    count = float(amount) * round(rounds + 0.5)
command = [str(Path(sys.executable).with_name("guidellm")), "run", "--disable-console"]
command += ["--backend", f"kind=openai_http,target={url},model=truth,validate_backend=false"]
command += ["--profile", profile, "--tokenizer", f"kind=hf_auto,model={tokenizer}"]
command += ["--constraint", f"kind=max_requests,count={max(1, round(count))}"]
command += ["--data", f"kind=synthetic_text,prompt_tokens=8,output_tokens={tokens}"]
subprocess.run([*command, "--output", f"kind=json,path={report}"], check=True)
requests = json.loads(report.read_text())["benchmarks"][0]["requests"]
times = [request["info"]["timings"] for request in requests["successful"]]
ttft_ms = [1000 * (t["first_token_iteration"] - t["request_start"]) for t in times]
Path(out).write_text(json.dumps({"ttft_ms": ttft_ms, "failed": len(requests["errored"])}))
