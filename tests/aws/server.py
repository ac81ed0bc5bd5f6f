#!/usr/bin/env python3
"""An Auto Scaling API for the tests: moto's server, plus what moto leaves out (groups.py says what), plus orders.

    python server.py [--port N]

Prints one line of JSON when it answers, {"endpoint": ...}, and ends when its standard input does.

A request is refused, or counted, by the access key that signed it: each test has a key of its own, so faults of one
test never reach another, nor the autoscaler. Signatures are not checked. Orders are POSTed as JSON, and done when answered:

    /control/groups            {"name", "instance_type", "min", "max", "desired", "labels", "taints", "tags", "spot", "zones",
                                "cluster", "parameters", "copies"}: a group as the Cluster Autoscaler finds it; parameters go to
                                CreateAutoScalingGroup as they are; of copies NAME-1, NAME-2, ... there may be hundreds
    /control/groups/NAME       {"boot_seconds", "stop_seconds", "failure", "retry_seconds", ...}: steers a group, see groups.py;
                                other keys are for whoever turns its instances into nodes
    /control/groups/NAME/lose  {"instance", "loss"}: an instance (or the first) is taken; loss of words.LOSSES
    /control/groups/NAME/remove     the group is gone with its copies, and so are its machines
    /control/groups/NAME/attributes  {"desired_capacity_type": ...}: what moto has no parameter for
    /control/history           [activities]: things that happened earlier
    /control/faults            {"access_key", "refusal", "actions", "times"}: the next `times` calls (or all) are refused
    /control/call              {"service", "operation", "parameters"}: any call that boto3 knows

GET /control/machines answers, by group, with its steering and its instances in service; /control/calls?ACCESS_KEY with
its calls so far.
"""

import argparse
import copy
import datetime
import io
import json
import os
import re
import socket
import sys
import threading
import time
import uuid
from xml.sax.saxutils import escape

import boto3
from moto.autoscaling import models
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

import groups
import words

ACCOUNT, REGION = "123456789012", "us-east-1"
TEMPLATE = "k8s.io/cluster-autoscaler/node-template/"
FAULTS = {}  # access key -> faults
CALLS = {}  # access key -> actions called
CLIENTS = {}


def client(service):
    if service not in CLIENTS:
        CLIENTS[service] = boto3.client(service, region_name=REGION, endpoint_url=ENDPOINT, aws_access_key_id="control", aws_secret_access_key="control")
    return CLIENTS[service]


def create(order):
    """A node group as someone sets it up for the Cluster Autoscaler."""
    name, kind = order["name"], order.get("instance_type", "m5.xlarge")
    data = {"InstanceType": kind, "ImageId": "ami-12c6146b"}
    client("ec2").create_launch_template(LaunchTemplateName=f"{name}-template", LaunchTemplateData=data)
    template = {"LaunchTemplateName": f"{name}-template", "Version": "$Default"}
    tags = {"Name": name}
    if order.get("cluster"):
        tags |= {"k8s.io/cluster-autoscaler/enabled": "true", f"k8s.io/cluster-autoscaler/{order['cluster']}": "owned"}
    tags |= {f"{TEMPLATE}label/{key}": value for key, value in order.get("labels", {}).items()}
    tags |= {f"{TEMPLATE}taint/{key}": value for key, value in order.get("taints", {}).items()}
    tags |= order.get("tags", {})
    parameters = {
        "AutoScalingGroupName": name, "MinSize": order.get("min", 0), "MaxSize": order.get("max", 3), "DesiredCapacity": order.get("desired", order.get("min", 0)),
        "AvailabilityZones": order.get("zones", ["us-east-1a"]),
        "Tags": [{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
    }
    if order.get("spot"):
        parameters["MixedInstancesPolicy"] = {
            "LaunchTemplate": {"LaunchTemplateSpecification": template, "Overrides": [{"InstanceType": kind}]},
            "InstancesDistribution": {"OnDemandBaseCapacity": 0, "OnDemandPercentageAboveBaseCapacity": 0, "SpotAllocationStrategy": "price-capacity-optimized"},
        }
    elif "MixedInstancesPolicy" not in order.get("parameters", {}):
        parameters["LaunchTemplate"] = template
    parameters |= order.get("parameters", {})
    client("autoscaling").create_auto_scaling_group(**parameters)
    with groups.LOCK:
        for number in range(order.get("copies", 0)):
            twin = copy.copy(group(name))
            twin.name, twin._id, twin.instance_states = f"{name}-{number + 1}", str(uuid.uuid4()), []
            twin.tags = [{**tag, "ResourceId": twin.name} for tag in twin.tags]
            twin.autoscaling_backend.autoscaling_groups[twin.name] = twin


def group(name):
    return groups.find(models.autoscaling_backends[ACCOUNT][REGION], name)


def remember(activities):
    """Activities of the past; times are RFC 3339, everything but group, status and start has a default."""
    for past in activities:
        past = {"ActivityId": str(uuid.uuid4()), "Description": "Launching a new EC2 instance: i-0123456789abcdef0", "Cause": "",
                "Progress": 100, "Details": json.dumps({"Availability Zone": "us-east-1a"}), **past}
        for key in ("StartTime", "EndTime"):
            if key in past:
                past[key] = datetime.datetime.fromisoformat(past[key].replace("Z", "+00:00"))
        of_group = groups.ACTIVITIES.setdefault(past["AutoScalingGroupName"], [])
        of_group.append(past)
        of_group.sort(key=lambda activity: activity["StartTime"], reverse=True)


def obey(method, path, query, order):
    """Does what an order says and returns the answer."""
    where = path.strip("/").split("/")[1:]
    if where == ["call"]:  # comes back as a request of its own
        return getattr(client(order["service"]), order["operation"])(**order.get("parameters", {}))
    if where == ["groups"] and method == "POST":
        return create(order)
    with groups.LOCK:
        if where == ["machines"]:
            known = models.autoscaling_backends[ACCOUNT][REGION].autoscaling_groups
            return {name: {"order": groups.STEERING.get(name, {}), "in_service": [state.instance.id for state in it.instance_states
                                                                                  if state.lifecycle_state == "InService"]}
                    for name, it in known.items()}
        if where == ["calls"]:
            return CALLS.get(query, [])
        if where == ["history"]:
            return remember(order)
        if where == ["faults"]:
            if order.get("refusal"):
                words.REFUSALS[order["refusal"]]  # a misspelt name fails here
                FAULTS.setdefault(order["access_key"], []).append({"actions": None, "times": None, **order})
            else:
                FAULTS.pop(order["access_key"], None)
            return None
        if len(where) >= 2 and where[0] == "groups":
            it = group(where[1])
            if where[2:] == ["lose"]:
                return {"instance": groups.lose(it, order.get("instance"), order.get("loss", "health-check"))}
            if where[2:] == ["attributes"]:
                for key, value in order.items():
                    setattr(it, key, value)
                return None
            if where[2:] == ["remove"]:
                known = it.autoscaling_backend.autoscaling_groups
                for gone in [other for other in known if other == it.name or re.fullmatch(re.escape(it.name) + r"-\d+", other)]:
                    del known[gone]
                return None
            if not where[2:]:
                groups.STEERING.setdefault(it.name, {}).update(order)
                it.failed = None  # the next try is under the new conditions
                return groups.steering(it.name)
    raise KeyError(path)


def refusal(environ, body):
    """Counts a call and returns what refuses it, if anything does."""
    signed = re.search(r"Credential=([^/]+)/[^/]*/[^/]*/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    if not signed:
        return None
    key, service = signed.groups()
    named = re.search(rb"(?:^|&)Action=(\w+)", body)
    action = f"{service}:{named.group(1).decode()}" if named else service
    CALLS.setdefault(key, []).append(action)
    for fault in FAULTS.get(key, []):
        if fault["times"] == 0 or (fault["actions"] and action not in fault["actions"]):
            continue
        if fault["times"]:
            fault["times"] -= 1
        status, code, message = words.REFUSALS[fault["refusal"]]
        who = f"arn:aws:sts::{ACCOUNT}:assumed-role/data-engineer/ana"
        return status, code, message.format(who=who, action=action)
    return None


def respond(start, status, kind, text):
    body = text.encode()
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def application(environ, start):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = environ["PATH_INFO"]
    if path.startswith("/control"):
        try:
            status, answer = "200 OK", obey(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), json.loads(body or b"null"))
        except Exception as error:  # whatever it is, the test wants to see it
            status, answer = "400 Bad Request", {"error": f"{type(error).__name__}: {error}"}
        return respond(start, status, "application/json", json.dumps(answer, default=str))
    with groups.LOCK:
        refused = refusal(environ, body)
        if refused:
            status, code, message = refused
            kind = "Sender" if status < 500 else "Receiver"
            return respond(start, f"{status} Refused", "text/xml", f'<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error>'
                           f"<Type>{kind}</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>")
        environ["wsgi.input"] = io.BytesIO(body)
        return list(MOTO(environ, start))


def tick():
    while True:
        time.sleep(0.1)
        groups.tick()


def watch_input():
    sys.stdin.buffer.read()
    os._exit(0)


class Quiet(MotoRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_):
        """Not every request: thousands."""


arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int, default=0)
listener = socket.create_server(("127.0.0.1", arguments.parse_args().port))
ENDPOINT = f"http://127.0.0.1:{listener.getsockname()[1]}"
MOTO = DomainDispatcherApplication(create_backend_app)
groups.install()
server = make_server("127.0.0.1", listener.getsockname()[1], application, threaded=True, request_handler=Quiet, fd=listener.fileno())
client("autoscaling"), client("ec2")  # reading their models takes a while
threading.Thread(target=tick, daemon=True).start()
threading.Thread(target=watch_input, daemon=True).start()
print(json.dumps({"endpoint": ENDPOINT}), flush=True)
server.serve_forever()
