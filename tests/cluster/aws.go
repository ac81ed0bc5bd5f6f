package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// aws speaks to the Auto Scaling API of tests/aws, in the few actions that are needed here. Signatures
// are not checked there, but the Authorization header says which service is meant.
type aws struct {
	endpoint, accessKey string
	client              http.Client
}

const awsRegion = "us-east-1"

type autoScalingGroup struct {
	Name           string          `xml:"AutoScalingGroupName"`
	Min            int             `xml:"MinSize"`
	Max            int             `xml:"MaxSize"`
	Desired        int             `xml:"DesiredCapacity"`
	Zones          []string        `xml:"AvailabilityZones>member"`
	Instances      []instance      `xml:"Instances>member"`
	Tags           []awsTag        `xml:"Tags>member"`
	LaunchTemplate awsTemplate     `xml:"LaunchTemplate"`
	Mixed          *awsMixedPolicy `xml:"MixedInstancesPolicy"`
}

type instance struct {
	ID           string `xml:"InstanceId"`
	Type         string `xml:"InstanceType"`
	Zone         string `xml:"AvailabilityZone"`
	State        string `xml:"LifecycleState"`
	HealthStatus string `xml:"HealthStatus"`
}

type awsTag struct{ Key, Value string }

type awsTemplate struct {
	ID      string `xml:"LaunchTemplateId"`
	Version string `xml:"Version"`
}

type awsMixedPolicy struct {
	Template  awsTemplate `xml:"LaunchTemplate>LaunchTemplateSpecification"`
	Overrides []struct {
		InstanceType string
	} `xml:"LaunchTemplate>Overrides>member"`
	OnDemandPercentage *int `xml:"InstancesDistribution>OnDemandPercentageAboveBaseCapacity"`
}

type scalingActivity struct {
	StartTime   time.Time
	StatusCode  string
	Description string
}

func (i instance) providerID() string { return "aws:///" + i.Zone + "/" + i.ID }

// isSpot says whether all machines of the group are spot ones.
func (g autoScalingGroup) isSpot() bool {
	return g.Mixed != nil && g.Mixed.OnDemandPercentage != nil && *g.Mixed.OnDemandPercentage == 0
}

func (g autoScalingGroup) tag(key string) (string, bool) {
	for _, tag := range g.Tags {
		if tag.Key == key {
			return tag.Value, true
		}
	}
	return "", false
}

// tagged returns the tags below a prefix, without it.
func (g autoScalingGroup) tagged(prefix string) map[string]string {
	found := make(map[string]string)
	for _, tag := range g.Tags {
		if name, ok := strings.CutPrefix(tag.Key, prefix); ok {
			found[name] = tag.Value
		}
	}
	return found
}

// call asks for one action and reads the answer.
func (a *aws) call(service, version, action string, parameters url.Values, answer any) error {
	parameters.Set("Action", action)
	parameters.Set("Version", version)
	request, err := http.NewRequest("POST", a.endpoint+"/", strings.NewReader(parameters.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/20260101/%s/%s/aws4_request, SignedHeaders=host, Signature=none", a.accessKey, awsRegion, service))
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusOK {
		if answer == nil {
			return nil
		}
		return xml.Unmarshal(body, answer)
	}
	var refusal struct {
		Error   struct{ Code, Message string }
		Request string `xml:"RequestId"`
	}
	_ = xml.Unmarshal(body, &refusal)
	// As the AWS SDK for Go words it.
	return fmt.Errorf("operation error Auto Scaling: %s, https response error StatusCode: %d, RequestID: %s, api error %s: %s",
		action, response.StatusCode, refusal.Request, refusal.Error.Code, refusal.Error.Message)
}

func (a *aws) autoScaling(action string, parameters url.Values, answer any) error {
	return a.call("autoscaling", "2011-01-01", action, parameters, answer)
}

// groups returns the groups that carry all these tag keys.
func (a *aws) groups(tagKeys ...string) ([]autoScalingGroup, error) {
	parameters := url.Values{"MaxRecords": {"100"}}
	for i, key := range tagKeys {
		filter := "Filters.member." + strconv.Itoa(i+1)
		parameters.Set(filter+".Name", "tag-key")
		parameters.Set(filter+".Values.member.1", key)
	}
	var found []autoScalingGroup
	for {
		var page struct {
			Groups []autoScalingGroup `xml:"DescribeAutoScalingGroupsResult>AutoScalingGroups>member"`
			Next   string             `xml:"DescribeAutoScalingGroupsResult>NextToken"`
		}
		if err := a.autoScaling("DescribeAutoScalingGroups", parameters, &page); err != nil {
			return nil, err
		}
		found = append(found, page.Groups...)
		if page.Next == "" {
			return found, nil
		}
		parameters.Set("NextToken", page.Next)
	}
}

// activities returns the newest page of a group's activities, the newest first.
func (a *aws) activities(group string) ([]scalingActivity, error) {
	var page struct {
		Activities []scalingActivity `xml:"DescribeScalingActivitiesResult>Activities>member"`
	}
	err := a.autoScaling("DescribeScalingActivities", url.Values{"AutoScalingGroupName": {group}}, &page)
	return page.Activities, err
}

func (a *aws) setDesired(group string, size int) error {
	return a.autoScaling("SetDesiredCapacity", url.Values{"AutoScalingGroupName": {group}, "DesiredCapacity": {strconv.Itoa(size)}, "HonorCooldown": {"false"}}, nil)
}

// terminate ends an instance and has its group want one less.
func (a *aws) terminate(instanceID string) error {
	return a.autoScaling("TerminateInstanceInAutoScalingGroup", url.Values{"InstanceId": {instanceID}, "ShouldDecrementDesiredCapacity": {"true"}}, nil)
}

// instanceType returns the type that a group launches: of the first override, or of its launch template.
func (a *aws) instanceType(group autoScalingGroup) (string, error) {
	template := group.LaunchTemplate
	if group.Mixed != nil {
		if len(group.Mixed.Overrides) > 0 && group.Mixed.Overrides[0].InstanceType != "" {
			return group.Mixed.Overrides[0].InstanceType, nil
		}
		template = group.Mixed.Template
	}
	var answer struct {
		Types []string `xml:"launchTemplateVersionSet>item>launchTemplateData>instanceType"`
	}
	version := template.Version
	if version == "" {
		version = "$Default"
	}
	err := a.call("ec2", "2016-11-15", "DescribeLaunchTemplateVersions", url.Values{"LaunchTemplateId": {template.ID}, "LaunchTemplateVersion.1": {version}}, &answer)
	if err == nil && len(answer.Types) == 0 {
		err = fmt.Errorf("launch template %s of group %s names no instance type", template.ID, group.Name)
	}
	if err != nil {
		return "", err
	}
	return answer.Types[0], nil
}

// steering is what a test ordered for the machines of one group, beside what the API itself acts on.
type steering struct {
	NeverJoin     bool              `json:"never_join"`      // no node comes of an instance
	NeverReady    bool              `json:"never_ready"`     // a node comes and does not get ready
	JoinSeconds   float64           `json:"join_seconds"`    // from InService to the node
	StartUpTaints map[string]string `json:"start_up_taints"` // key -> value:effect, beside the group's own taints
	Allocatable   map[string]string `json:"allocatable"`     // resources that the node really offers
	Labels        map[string]string `json:"node_labels"`     // labels that the node has and the group's tags do not tell
}

// inService is what the API's orders tell of a group, at less cost than describing it.
type inService struct {
	Order     steering `json:"order"`
	Instances []string `json:"in_service"`
}

func (a *aws) inService() (map[string]inService, error) {
	response, err := a.client.Get(a.endpoint + "/control/machines")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	found := make(map[string]inService)
	return found, json.NewDecoder(response.Body).Decode(&found)
}
