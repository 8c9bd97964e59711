# The lessons in JupyterLab, with PyTorch for the CPU: README.md, "Other ways to install".
FROM python:3.13-slim
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
WORKDIR /course
COPY . .
RUN pip install --no-cache-dir --editable .
EXPOSE 8888
CMD ["sh", "-c", "python -m cnn_lessons lessons && exec python -m jupyterlab my-lessons/00_start_here.ipynb --ip=0.0.0.0 --no-browser --allow-root"]
