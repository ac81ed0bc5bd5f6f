# Unpacks the files of a flow and becomes `python3 FILE ARGUMENTS`. Written for Python 3.8 and later.
import os
import sys

PACKAGE = "/sbrun/package"
FLOW = "/sbrun/flow"


def fail(code, why):
    sys.stderr.write("sbrun: cannot start the flow: %s\n" % (why,))
    sys.stderr.flush()
    os._exit(code)


def packed():
    # The kubelet's own entries (`..data`) lie beside the parts.
    import base64

    names = sorted((int(name[5:]), name) for name in os.listdir(PACKAGE) if name.startswith("part-") and name[5:].isdigit())
    if [number for number, _ in names] != list(range(len(names))):
        raise ValueError("a part of the package is missing in " + PACKAGE)
    data = b""
    for _, name in names:
        with open(os.path.join(PACKAGE, name), "rb") as part:
            data += part.read()
    if names:
        return data
    with open(os.path.join(PACKAGE, "package.b64"), "rb") as inline:
        return base64.b64decode(inline.read())


def unpack():
    import gzip
    import io
    import tarfile
    import time

    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed())), mode="r:") as archive:
        members = archive.getmembers()
        now = int(time.time())  # the archive holds no times, and zip files cannot hold 1970
        for member in members:
            if not member.isfile() or member.issparse() or member.name.startswith("/") or ".." in member.name.split("/"):
                raise ValueError("%r must not be in a package" % (member.name,))
            member.mtime = now
        if hasattr(tarfile, "data_filter"):
            archive.extractall(FLOW, members, filter="data")
        else:
            archive.extractall(FLOW, members)


try:
    os.makedirs(FLOW, exist_ok=True)
    unpack()
    os.chdir(FLOW)
except BaseException as error:
    fail(126, "%s: %s" % (type(error).__name__, error))
try:
    os.makedirs(os.environ.get("HOME") or FLOW, exist_ok=True)
except OSError:
    pass  # a flow that needs no home runs without one
try:
    os.execvp("python3", ["python3"] + sys.argv[1:])
except OSError as error:
    fail(127, "python3: %s" % (error,))
