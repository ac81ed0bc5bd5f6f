package main

import (
	"context"
	"errors"
	"sync"
	"time"

	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
)

const (
	// Annotation of a NodePool's template: no machine is to be had, in these words of the cloud.
	noCapacity = "sbrun.test/no-capacity"
	// Annotation of a NodePool's template: the cloud refuses the launch, in these words.
	launchRefused = "sbrun.test/launch-refused"
	// What was found missing is not offered for this long. The provider for AWS waits 3 minutes.
	forgotten = 20 * time.Second
)

// shortages fails as the provider for AWS does: a launch for want of machines ends with InsufficientCapacityError, and
// what was missing is not offered to Karpenter for a while; a launch that is refused ends with a CreateError.
type shortages struct {
	cloudprovider.CloudProvider
	mutex   sync.Mutex
	missing map[string]time.Time // by NodePool: since when
}

func newShortages(provider cloudprovider.CloudProvider) *shortages {
	return &shortages{CloudProvider: provider, missing: map[string]time.Time{}}
}

func (s *shortages) Create(ctx context.Context, claim *v1.NodeClaim) (*v1.NodeClaim, error) {
	if words, ok := claim.Annotations[noCapacity]; ok {
		s.mutex.Lock()
		s.missing[claim.Labels[v1.NodePoolLabelKey]] = time.Now()
		s.mutex.Unlock()
		return nil, cloudprovider.NewInsufficientCapacityError(errors.New(words))
	}
	if words, ok := claim.Annotations[launchRefused]; ok {
		return nil, cloudprovider.NewCreateError(errors.New(words), "LaunchRefused", words)
	}
	return s.CloudProvider.Create(ctx, claim)
}

func (s *shortages) GetInstanceTypes(ctx context.Context, pool *v1.NodePool) ([]*cloudprovider.InstanceType, error) {
	types, err := s.CloudProvider.GetInstanceTypes(ctx, pool)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err != nil || pool == nil || time.Since(s.missing[pool.Name]) > forgotten {
		return types, err
	}
	unavailable := make([]*cloudprovider.InstanceType, len(types))
	for i, kind := range types {
		unavailable[i] = kind.DeepCopy()
		for _, offering := range unavailable[i].Offerings {
			offering.Available = false
		}
	}
	return unavailable, nil
}
