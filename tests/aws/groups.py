"""How Auto Scaling groups behave here, where moto leaves off.

moto keeps what is written (groups, tags, launch templates, policies, suspended processes) and makes the
instances. This replaces what moves them. A group comes as near to its desired capacity as it can: at once
when asked, and again with every tick. Each step leaves a scaling activity.

Real, as far as AWS documents it or users have recorded it: lifecycle states, activities and their words,
refusals, suspended Launch, Terminate and ReplaceUnhealthy processes, replacement of what was lost, paging.
Not real: time (a machine boots in a second, a failed launch is tried again after a few), the choice of what
is terminated (the oldest), zones (the first), warm pools, lifecycle hooks, instance refresh, weights.
"""

import datetime
import json
import threading
import uuid

from moto.autoscaling import models, responses
from moto.autoscaling.exceptions import AutoscalingClientError
from moto.core.responses import ActionResult, EmptyResult

import words

LOCK = threading.RLock()  # one request or one tick at a time: moto promises nothing to threads
STEERING = {}  # group name -> what the test ordered; see DEFAULTS
ACTIVITIES = {}  # group name -> activities, newest first; kept when the group is gone

DEFAULTS = {
    "boot_seconds": 1.0,  # from Pending to InService
    "stop_seconds": 1.0,  # from Terminating to gone
    "failure": None,  # name of words.FAILURES, or a text: launches fail
    "retry_seconds": 5.0,  # from one failed launch to the next
}
ALIVE = ("Pending", "InService")


def steering(name):
    return {**DEFAULTS, **STEERING.get(name, {})}


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def stamp(time=None):
    return f"{time or now():%Y-%m-%dT%H:%M:%SZ}"


def refuse(message):
    return AutoscalingClientError("ValidationError", message)


def record(group, description, cause, status, message=None, **details):
    activity = {
        "ActivityId": str(uuid.uuid4()), "AutoScalingGroupName": group.name, "AutoScalingGroupARN": group.arn, "Description": description,
        "Cause": cause[:1023], "StartTime": now(), "StatusCode": status, "Progress": 30,
        "Details": json.dumps({"Subnet ID": "subnet-" + uuid.uuid5(uuid.NAMESPACE_DNS, group.name).hex[:17], "Availability Zone": zone(group), **details}),
    }
    ACTIVITIES.setdefault(group.name, []).insert(0, activity)
    if status in ("Successful", "Failed"):
        finish(activity, status, message)
    return activity


def finish(activity, status, message=None):
    activity.update(StatusCode=status, Progress=100, EndTime=now())
    if message:
        activity["StatusMessage"] = message


def zone(group):
    return (group.availability_zones or ["us-east-1a"])[0]


def alive(group):
    return [state for state in group.instance_states if state.lifecycle_state in ALIVE]


def is_suspended(group, process):
    return any(suspended["ProcessName"] == process for suspended in group.suspended_processes)


def approach(group):
    """One step towards the desired capacity."""
    order, time = steering(group.name), now()
    for state in list(group.instance_states):
        due = getattr(state, "due", None)
        if due is None or due > time:
            continue
        state.due = None
        if state.lifecycle_state == "Pending":
            state.lifecycle_state = "InService"
        else:
            group.instance_states.remove(state)
            group.ec2_backend.terminate_instances([state.instance.id])
        finish(state.activity, "Successful")
    missing = (group.desired_capacity or 0) - len(alive(group))
    if missing > 0 and not is_suspended(group, "Launch"):
        launch(group, missing, order, time)
    elif missing < 0 and not is_suspended(group, "Terminate"):
        surplus = [state for state in alive(group) if not state.protected_from_scale_in][:-missing]
        for state in surplus:
            have = len(alive(group))
            cause = (f"{reason(group)}At {stamp()} an instance was taken out of service in response to a difference between desired and actual "
                     f"capacity, shrinking the capacity from {have} to {have - 1}.  At {stamp()} instance {state.instance.id} was selected for termination.")
            terminate(group, state, cause)
    group.asked = None


def reason(group):
    """What a user asked, as the first sentence of a cause."""
    return f"{group.asked}  " if getattr(group, "asked", None) else ""


def launch(group, missing, order, time):
    have = len(alive(group))
    cause = (f"{reason(group)}At {stamp()} an instance was started in response to a difference between desired and actual capacity, "
             f"increasing the capacity from {have} to {have + missing}.")
    if order["failure"]:
        failed, asked = getattr(group, "failed", None), getattr(group, "asked", None)
        if failed and not asked and (time - failed).total_seconds() < order["retry_seconds"]:
            return
        group.failed = time
        text = words.FAILURES.get(order["failure"], order["failure"]).format(type=group.instance_type or "m5.large", zone=zone(group))
        record(group, f"Launching a new EC2 instance.  Status Reason: {text}", cause, "Failed", text)
        return
    group.failed = None
    known = set(map(id, group.instance_states))
    group.replace_autoscaling_group_instances(missing, group.get_propagated_tags())
    for state in group.instance_states:
        if id(state) in known:
            continue
        state.lifecycle_state = "Pending"
        state.due = time + datetime.timedelta(seconds=float(order["boot_seconds"]))
        state.activity = record(group, f"Launching a new EC2 instance: {state.instance.id}", cause, "PreInService")


def terminate(group, state, cause):
    """Sends an instance away: Terminating for a while, then gone."""
    boot = getattr(state, "activity", None)
    if boot and boot["StatusCode"] == "PreInService":
        finish(boot, "Cancelled")
    state.lifecycle_state = "Terminating"
    state.due = now() + datetime.timedelta(seconds=float(steering(group.name)["stop_seconds"]))
    state.activity = record(group, f"Terminating EC2 instance: {state.instance.id}", cause, "InProgress")
    return state.activity


def lose(group, instance, loss):
    """An instance dies without anyone's order, and is gone at once; the group replaces it unless it may not."""
    states = [state for state in alive(group) if instance in (None, state.instance.id)]
    if not states:
        raise refuse(f"no such instance in {group.name}: {instance}")
    state = states[0]
    text = words.LOSSES.get(loss, loss).format(
        zone=zone(group), time=stamp(), id=state.instance.id, desired=group.desired_capacity, more=(group.desired_capacity or 0) + 1)
    group.instance_states.remove(state)
    record(group, f"Terminating EC2 instance: {state.instance.id}", f"At {stamp()} {text}", "Successful")
    return state.instance.id


def tick():
    with LOCK:
        for regions in models.autoscaling_backends.values():
            for backend in regions.values():
                for group in backend.autoscaling_groups.values():
                    approach(group)


# ---- What replaces moto's own


def set_desired_capacity(self, new):
    """Of a group: when it is created, changed or resized."""
    old, self.desired_capacity = getattr(self, "desired_capacity", 0) or 0, self.min_size if new is None else new
    if self.desired_capacity != old:
        verb = ("a user request explicitly set group desired capacity" if self.name in self.autoscaling_backend.autoscaling_groups
                else "a user request created an AutoScalingGroup")
        self.asked = f"At {stamp()} {verb} changing the desired capacity from {old} to {self.desired_capacity}."
    approach(self)


def find(backend, name):
    if name not in backend.autoscaling_groups:
        raise refuse(f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
    return backend.autoscaling_groups[name]


def answer_set_desired_capacity(self):
    group, wanted = find(self.autoscaling_backend, self._get_param("AutoScalingGroupName")), self._get_int_param("DesiredCapacity")
    for bound, limit, outside in (("above max", group.max_size, wanted > group.max_size), ("below min", group.min_size, wanted < group.min_size)):
        if outside:
            raise refuse(f"New SetDesiredCapacity value {wanted} is {bound} value {limit} for the AutoScalingGroup.")
    group.set_desired_capacity(wanted)
    return EmptyResult()


def answer_terminate_instance(self):
    wanted, decrement = self._get_param("InstanceId"), self._get_bool_param("ShouldDecrementDesiredCapacity", False)
    for group in self.autoscaling_backend.autoscaling_groups.values():
        for state in alive(group):
            if state.instance.id != wanted:
                continue
            have, tail = group.desired_capacity, "."
            if decrement:
                if have <= group.min_size:
                    raise refuse("Currently, desiredSize equals minSize. Terminating instance without replacement will violate group's min size "
                                 "constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.")
                group.desired_capacity = have - 1
                tail = f", shrinking the capacity from {have} to {have - 1}."
            activity = terminate(group, state, f"At {stamp()} instance {wanted} was taken out of service in response to a user request{tail}")
            return ActionResult({"Activity": activity})
    raise refuse(f"Instance Id not found - No managed instance found for instance ID: {wanted}")


def answer_create_group(self):
    name = self._get_param("AutoScalingGroupName")
    if name in self.autoscaling_backend.autoscaling_groups:
        raise AutoscalingClientError("AlreadyExists", f"AutoScalingGroup by this name already exists - A group with the name {name} already exists")
    if self._get_int_param("MinSize") > self._get_int_param("MaxSize"):
        raise refuse(f"Max bound, {self._get_int_param('MaxSize')}, must be greater than or equal to min bound, {self._get_int_param('MinSize')}")
    return create_group(self)


def answer_describe_groups(self):
    if self._get_int_param("MaxRecords", 50) > 100:
        raise refuse("1 validation error detected: Value at 'maxRecords' failed to satisfy constraint: Member must have value less than or equal to 100")
    return describe_groups(self)


def answer_describe_activities(self):
    name = self._get_param("AutoScalingGroupName")
    if name and name not in ACTIVITIES:
        find(self.autoscaling_backend, name)
    found = ACTIVITIES.get(name, []) if name else [activity for activities in ACTIVITIES.values() for activity in activities]
    found = sorted(found, key=lambda activity: ("EndTime" not in activity, activity["StartTime"]), reverse=True)  # in-progress ones first
    for choice in self._get_param("Filters", []):
        if choice["Name"] == "Status":
            found = [activity for activity in found if activity["StatusCode"] in choice["Values"]]
        elif choice["Name"] in ("StartTimeLowerBound", "StartTimeUpperBound"):
            bound = datetime.datetime.fromisoformat(choice["Values"][0].replace("Z", "+00:00"))
            found = [activity for activity in found if (activity["StartTime"] >= bound) == (choice["Name"] == "StartTimeLowerBound")]
    wanted = self._get_param("ActivityIds", [])
    found = [activity for activity in found if not wanted or activity["ActivityId"] in wanted]
    start, size = int(self._get_param("NextToken") or 0), min(self._get_int_param("MaxRecords") or 100, 100)
    result = {"Activities": found[start:start + size]}
    if len(found) > start + size:
        result["NextToken"] = str(start + size)
    return ActionResult(result)


def notify_terminate_instances(self, ids):
    """EC2 TerminateInstances hit instances of groups."""
    for group in self.autoscaling_groups.values():
        for state in alive(group):
            if state.instance.id in ids:
                lose(group, state.instance.id, "health-check")


create_group = responses.AutoScalingResponse.create_auto_scaling_group
describe_groups = responses.AutoScalingResponse.describe_auto_scaling_groups


def install():
    """Puts these in moto's place."""
    models.FakeAutoScalingGroup.set_desired_capacity = set_desired_capacity
    models.FakeAutoScalingGroup.active_instances = alive
    models.AutoScalingBackend.notify_terminate_instances = notify_terminate_instances
    answers = responses.AutoScalingResponse
    answers.set_desired_capacity = answer_set_desired_capacity
    answers.terminate_instance_in_auto_scaling_group = answer_terminate_instance
    answers.create_auto_scaling_group = answer_create_group
    answers.describe_auto_scaling_groups = answer_describe_groups
    answers.describe_scaling_activities = answer_describe_activities
