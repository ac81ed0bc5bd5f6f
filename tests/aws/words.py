"""AWS's words: why launches fail, why instances come and go, how requests are refused.

Recorded by users in public issues, unless marked: [inferred] is worded like its neighbours, but not seen.
"""

# Why a launch fails, by name. The activity's StatusMessage; its Description has the same after "Status Reason: ".
FAILURES = {
    "spot-capacity": "Could not launch Spot Instances. InsufficientInstanceCapacity - There is no Spot capacity available that "
    "matches your request. Launching EC2 instance failed.",
    "on-demand-capacity": "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient "
    "{type} capacity in the Availability Zone you requested ({zone}). Our system will be working on provisioning additional "
    "capacity. Launching EC2 instance failed.",
    "unfulfillable": "Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your request "
    "configuration. Please adjust your request and try again. Launching EC2 instance failed.",
    "vcpu-quota": "Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more vCPU capacity than your current "
    "vCPU limit of 32 allows for the instance bucket that the specified instance type belongs to. Please visit "
    "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit. Launching EC2 instance failed.",
    # The same without a mixed instances policy: no code before the sentence.
    "plain-vcpu-quota": "You have requested more vCPU capacity than your current vCPU limit of 384 allows for the instance bucket that "
    "the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to "
    "this limit. Launching EC2 instance failed.",
    "spot-quota": "Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance count exceeded. "
    "Launching EC2 instance failed.",
    "plain-spot-quota": "Max spot instance count exceeded. Launching EC2 instance failed.",
    "configuration": "Could not launch On-Demand Instances. InvalidFleetConfiguration - Your requested instance type ({type}) is not "
    "supported in your requested Availability Zone ({zone}). Launching EC2 instance failed.",
}

# Why an instance that nobody sent away is gone.
LOSSES = {
    "health-check": "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.",
    "spot-interruption": "an instance was taken out of service in response to a EC2 Spot interruption notice.",  # [inferred]
    "rebalance": "instances were launched to balance instances in zones {zone} with other zones resulting in more than desired number "
    "of instances in the group.  At {time} an instance was taken out of service in response to a difference between desired and actual "
    "capacity, shrinking the capacity from {more} to {desired}.  At {time} instance {id} was selected for termination.",
}

# Refusals by name: HTTP status, code, message.
REFUSALS = {
    "throttling": (400, "Throttling", "Rate exceeded"),
    "access-denied": (403, "AccessDenied", "User: {who} is not authorized to perform: {action} because no identity-based policy allows "
                      "the {action} action"),
    "expired-token": (403, "ExpiredToken", "The security token included in the request is expired"),
    "invalid-token": (403, "InvalidClientTokenId", "The security token included in the request is invalid."),
    "internal-failure": (500, "InternalFailure", "The request processing has failed because of an unknown error, exception or failure."),
}
