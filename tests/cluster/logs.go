package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/util/flushwriter"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	criapi "k8s.io/cri-api/pkg/apis"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	crilogs "k8s.io/cri-client/pkg/logs"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/core/install" // conversion of query parameters
)

// logServer answers the API server's log requests for simulated pods. Unlike kwok's own it has one
// file for each container, and a followed log ends when its container does, as a kubelet's would:
// the reader is the kubelet's, and it asks the pod's status whether the container still runs.
//
// A container's log is DIR/pods/NAMESPACE/POD/CONTAINER.log in CRI format
// (`2026-01-02T03:04:05.678901234Z stdout F text`), which a test may write and append to. Where there
// is none, the pod's annotation kwok.test/log-file names such a file, or kwok.test/log holds the text.
type logServer struct {
	dir    string
	port   int
	client kubernetes.Interface
}

func serveLogs(o *controlPlane, dir string) (*logServer, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.userConfig("admin"))
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	crt, err := tls.LoadX509KeyPair(o.pki.path("kwok.crt"), o.pki.path("kwok.key"))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &logServer{dir: dir, port: listener.Addr().(*net.TCPAddr).Port, client: client}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.serve)
	server := &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{crt}}}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return s, os.MkdirAll(dir, 0o755)
}

func (s *logServer) serve(w http.ResponseWriter, r *http.Request) {
	namespace, name, container := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")
	options := &corev1.PodLogOptions{}
	if err := legacyscheme.ParameterCodec.DecodeParameters(r.URL.Query(), corev1.SchemeGroupVersion, options); err != nil {
		http.Error(w, "unable to decode query: "+err.Error(), http.StatusBadRequest)
		return
	}
	pod, err := s.client.CoreV1().Pods(namespace).Get(r.Context(), name, metav1.GetOptions{})
	if err != nil {
		http.Error(w, fmt.Sprintf("pod %q does not exist", name), http.StatusNotFound)
		return
	}
	state := stateOf(pod, container)
	switch { // the kubelet's words
	case options.Previous:
		http.Error(w, fmt.Sprintf("previous terminated container %q in pod %q not found", container, name), http.StatusBadRequest)
		return
	case state.Waiting != nil && state.Waiting.Reason != "":
		http.Error(w, fmt.Sprintf("container %q in pod %q is waiting to start: %s", container, name, reasonOf(state.Waiting)), http.StatusBadRequest)
		return
	case state.Running == nil && state.Terminated == nil:
		http.Error(w, fmt.Sprintf("container %q in pod %q is not available", container, name), http.StatusBadRequest)
		return
	}
	file, err := s.file(pod, container, state)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Transfer-Encoding", "chunked")
	out := flushwriter.Wrap(w)
	status := &containerStatus{client: s.client, pod: pod, container: container}
	if err := crilogs.ReadLogs(r.Context(), file, "", readerOptions(options), status, out, out); err != nil && r.Context().Err() == nil {
		fmt.Fprintf(os.Stderr, "log of %s/%s/%s: %v\n", namespace, name, container, err)
	}
}

func reasonOf(waiting *corev1.ContainerStateWaiting) string {
	switch waiting.Reason {
	case "ErrImagePull":
		return "image can't be pulled"
	case "ImagePullBackOff":
		return "trying and failing to pull image"
	default:
		return waiting.Reason
	}
}

func readerOptions(o *corev1.PodLogOptions) *crilogs.LogOptions {
	options := &crilogs.LogOptions{TailLines: o.TailLines, LimitBytes: o.LimitBytes, Follow: o.Follow, Timestamp: o.Timestamps}
	if o.SinceSeconds != nil {
		options.Since = time.Now().Add(-time.Duration(*o.SinceSeconds) * time.Second)
	}
	if o.SinceTime != nil && o.SinceTime.After(options.Since) {
		options.Since = o.SinceTime.Time
	}
	return options
}

// file finds the container's log, or makes it from the pod's annotation.
func (s *logServer) file(pod *corev1.Pod, container string, state corev1.ContainerState) (string, error) {
	file := filepath.Join(s.dir, pod.Namespace, pod.Name, container+".log")
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if given, ok := pod.Annotations["kwok.test/log-file"]; ok {
		return given, nil
	}
	began := pod.CreationTimestamp.Time
	if state.Running != nil {
		began = state.Running.StartedAt.Time
	} else if state.Terminated != nil {
		began = state.Terminated.StartedAt.Time
	}
	var content strings.Builder
	if text := pod.Annotations["kwok.test/log"]; text != "" {
		for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			at := began.Add(time.Duration(i+1) * time.Millisecond).UTC().Format(time.RFC3339Nano)
			fmt.Fprintf(&content, "%s stdout F %s\n", at, line)
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	// Whole or not at all: two readers may come at once.
	temporary, err := os.CreateTemp(s.dir, "log-")
	if err != nil {
		return "", err
	}
	defer os.Remove(temporary.Name())
	if _, err := temporary.WriteString(content.String()); err != nil {
		return "", err
	}
	if err := errors.Join(temporary.Chmod(0o644), temporary.Close()); err != nil {
		return "", err
	}
	if err := os.Link(temporary.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return file, nil
}

func stateOf(pod *corev1.Pod, container string) corev1.ContainerState {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for _, status := range statuses {
			if status.Name == container {
				return status.State
			}
		}
	}
	return corev1.ContainerState{}
}

// containerStatus is as much of a container runtime as the kubelet's log reader asks for.
type containerStatus struct {
	criapi.RuntimeService
	client    kubernetes.Interface
	pod       *corev1.Pod
	container string
}

func (c *containerStatus) ContainerStatus(ctx context.Context, _ string, _ bool) (*cri.ContainerStatusResponse, error) {
	state := cri.ContainerState_CONTAINER_EXITED
	pod, err := c.client.CoreV1().Pods(c.pod.Namespace).Get(ctx, c.pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, err
	case pod.UID == c.pod.UID && stateOf(pod, c.container).Running != nil:
		state = cri.ContainerState_CONTAINER_RUNNING
	}
	return &cri.ContainerStatusResponse{Status: &cri.ContainerStatus{State: state}}, nil
}
