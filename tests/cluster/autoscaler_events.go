package main

import (
	"context"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/yaml"
)

const statusConfigMap = "cluster-autoscaler-status"

// newRecorder sends one event for each reason and object in a window; of those on the status ConfigMap, one
// for each message.
func newRecorder(client kubernetes.Interface, window time.Duration, namespace string) record.EventRecorder {
	broadcaster := record.NewBroadcasterWithCorrelatorOptions(record.CorrelatorOptions{
		QPS: float32(1 / window.Seconds()), BurstSize: 1, LRUCacheSize: 8192, SpamKeyFunc: func(event *v1.Event) string {
			about := event.InvolvedObject
			if about.Kind == "ConfigMap" && about.Name == statusConfigMap && about.Namespace == namespace {
				return event.Message
			}
			return strings.Join([]string{event.Reason, about.Kind, about.Namespace, about.Name, string(about.UID)}, "/")
		}})
	broadcaster.StartRecordingToSink(&corev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	return broadcaster.NewRecorder(scheme.Scheme, v1.EventSource{Component: "cluster-autoscaler"})
}

// statusWriter writes the status ConfigMap.
type statusWriter struct {
	client    kubernetes.Interface
	namespace string
	object    *v1.ConfigMap
}

func (w *statusWriter) write(status clusterAutoscalerStatus, now time.Time) error {
	status.Time = now.UTC().Format("2006-01-02 15:04:05.999999999 -0700 MST")
	text, err := yaml.Marshal(status)
	if err != nil {
		return err
	}
	maps := w.client.CoreV1().ConfigMaps(w.namespace)
	object, err := maps.Get(context.Background(), statusConfigMap, metav1.GetOptions{})
	isNew := apierrors.IsNotFound(err)
	if isNew {
		object = &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: statusConfigMap, Namespace: w.namespace}}
	} else if err != nil {
		return err
	}
	object.Data = map[string]string{"status": string(text)}
	if object.Annotations == nil {
		object.Annotations = make(map[string]string)
	}
	object.Annotations["cluster-autoscaler.kubernetes.io/last-updated"] = status.Time
	if isNew {
		object, err = maps.Create(context.Background(), object, metav1.CreateOptions{})
	} else {
		object, err = maps.Update(context.Background(), object, metav1.UpdateOptions{})
	}
	if err == nil {
		w.object = object
	}
	return err
}
